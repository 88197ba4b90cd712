import type { KeyObject } from 'node:crypto';
import { createCipheriv, createDecipheriv, createHmac, createSecretKey, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { secretsError } from './errors.js';

const CIPHER = 'aes-256-gcm';
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_ID_DIGITS = 12;
/** `v1.<key id>.<base64url of nonce, cipher text and tag>` */
const SEALED = /^v1\.([0-9a-f]{12})\.([A-Za-z0-9_-]+)$/;

/** Where a sealed text stands. It opens there and nowhere else: not under another tenant, name or version. */
export interface SecretPlace {
  readonly tenant: string;
  readonly name: string;
  readonly version: number;
}

/**
 * The operator's keys: the first one seals, all of them open, so that a key is changed by putting another before it. A
 * key's id is made from the key and tells nothing of it; it stands in each sealed text. Sealing is AES-256-GCM with a
 * random nonce (some 2^32 texts a key).
 */
export class SecretKeys {
  readonly #keys: ReadonlyMap<string, KeyObject>;
  readonly #sealing: readonly [id: string, key: KeyObject];

  /** @throws MAYFLY_ERR_SECRETS_KEY_FILE for none, or one that has not 32 bytes. */
  constructor(keys: readonly Uint8Array[]) {
    const entries = keys.map((key): [string, KeyObject] => {
      if (key.byteLength !== KEY_BYTES) throw unusable(`a key has ${key.byteLength} bytes, not ${KEY_BYTES}`);
      return [keyId(key), createSecretKey(key)];
    });
    const [first] = entries;
    if (first === undefined) throw unusable('there is no key');
    this.#sealing = first;
    this.#keys = new Map(entries);
  }

  seal(place: SecretPlace, plain: Uint8Array): string {
    const [id, key] = this.#sealing;
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(placeBytes(place));
    const parts = [nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()];
    return `v1.${id}.${Buffer.concat(parts).toString('base64url')}`;
  }

  /** @throws MAYFLY_ERR_SECRETS_KEY_UNKNOWN, MAYFLY_ERR_SECRETS_SEALED */
  open(place: SecretPlace, sealed: string): Buffer {
    const [, id = '', text = ''] = SEALED.exec(sealed) ?? [];
    const bytes = Buffer.from(text, 'base64url');
    if (bytes.byteLength < NONCE_BYTES + TAG_BYTES) throw damaged(place);
    const key = this.#keys.get(id);
    if (key === undefined)
      throw secretsError('MAYFLY_ERR_SECRETS_KEY_UNKNOWN', `key ${id} is not in the file of keys`, {
        details: { keyId: id, ...place },
      });
    const tagAt = bytes.byteLength - TAG_BYTES;
    const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(placeBytes(place));
    decipher.setAuthTag(bytes.subarray(tagAt));
    try {
      return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, tagAt)), decipher.final()]);
    } catch (cause) {
      throw damaged(place, cause);
    }
  }
}

/**
 * Reads a file of keys: one a line, 32 bytes each as 64 hex digits or in base64, the sealing one first; empty lines and
 * lines that begin with `#` do not count.
 * @throws MAYFLY_ERR_SECRETS_KEY_FILE; it names the line, never what stands there
 */
export async function readSecretKeys(path: string): Promise<SecretKeys> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw unusable(`${path} cannot be read`, cause);
  });
  const keys: Buffer[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const key = line.trim();
    if (key === '' || key.startsWith('#')) continue;
    const bytes = Buffer.from(key, /^[0-9a-fA-F]{64}$/.test(key) ? 'hex' : 'base64');
    if (bytes.byteLength !== KEY_BYTES)
      throw unusable(`line ${index + 1} of ${path} is not ${KEY_BYTES} bytes in hex or base64`);
    keys.push(bytes);
  }
  if (keys.length === 0) throw unusable(`${path} holds no key`);
  return new SecretKeys(keys);
}

function keyId(key: Uint8Array): string {
  return createHmac('sha256', key).update('mayfly secrets key id').digest('hex').slice(0, KEY_ID_DIGITS);
}

/** Names hold no control characters, so no two places have the same bytes. */
function placeBytes({ tenant, name, version }: SecretPlace): Buffer {
  return Buffer.from(`${tenant}\n${name}\n${version}`, 'utf8');
}

function damaged({ tenant, name, version }: SecretPlace, cause?: unknown) {
  return secretsError('MAYFLY_ERR_SECRETS_SEALED', `version ${version} of secret ${name} does not open`, {
    cause,
    details: { tenant, name, version },
  });
}

function unusable(message: string, cause?: unknown) {
  return secretsError('MAYFLY_ERR_SECRETS_KEY_FILE', message, { cause });
}
