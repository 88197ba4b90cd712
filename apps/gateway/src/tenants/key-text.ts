import { hash, randomBytes } from 'node:crypto';

/** `mf_<id>_<secret>` for a tenant, `mfo_<id>_<secret>` for an operator: 48 bits that name it, 192 that prove it. */
const KEY_TEXT = /^mfo?_([0-9a-f]{12})_[0-9a-f]{48}$/;

export interface NewKeyText {
  readonly id: string;
  /** Shown once, to whom the key is for, and kept nowhere. */
  readonly text: string;
  readonly sha256: string;
}

export function mintKeyText(kind: 'operator' | 'tenant'): NewKeyText {
  const id = randomBytes(6).toString('hex');
  const text = `${kind === 'operator' ? 'mfo' : 'mf'}_${id}_${randomBytes(24).toString('hex')}`;
  return { id, text, sha256: hash('sha256', text, 'hex') };
}

/** The id in a key's text; undefined for text that is no key of ours. */
export function keyIdOf(text: string): string | undefined {
  return KEY_TEXT.exec(text)?.[1];
}
