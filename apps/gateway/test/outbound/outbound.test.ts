import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { AllowList } from '../../src/outbound/allow-list.js';
import { Outbound, type OutboundOptions } from '../../src/outbound/outbound.js';
import { Receiver } from './receiver.js';

const NAME = 'hooks.example.com';

/** Sends to a port of this machine; names resolve to what the test says. */
function outbound(port: number, options: Partial<OutboundOptions> = {}): Outbound {
  const allow = AllowList.parse(`127.0.0.1:${port}`) ?? AllowList.none;
  return new Outbound({ allow, resolve: async () => ['127.0.0.1'], ...options });
}

const post = (sender: Outbound, url: string) =>
  sender.post({ url, hosts: [NAME, '127.0.0.1'], headers: { 'x-a': 'b' }, body: Buffer.from('hello') });

const refusal = (reason: string) => ({
  code: 'MAYFLY_ERR_GATEWAY_OUTBOUND_REFUSED',
  details: expect.objectContaining({ reason }),
});
const failure = (reason: string) => ({
  code: 'MAYFLY_ERR_GATEWAY_OUTBOUND_FAILED',
  details: expect.objectContaining({ reason }),
});

describe('requests that leave the gateway', () => {
  test('arrive with head and body, under the name that was asked for', async () => {
    const receiver = await Receiver.start();
    const { port } = receiver;
    receiver.answer = (response) => response.writeHead(204, { 'retry-after': '7' }).end();
    const answer = await post(outbound(port), `http://${NAME}:${port}/a?b=c`);
    expect(answer.status).toBe(204);
    expect(answer.header('retry-after')).toBe('7');
    expect(receiver.requests).toMatchObject([
      { method: 'POST', url: '/a?b=c', body: 'hello', headers: { host: `${NAME}:${port}`, 'x-a': 'b' } },
    ]);
  });

  test('go to the address that was checked, also when the name means another a moment later', async () => {
    const receiver = await Receiver.start();
    const asked: string[] = [];
    const answers = [['127.0.0.1'], ['127.0.0.2']];
    const sender = outbound(receiver.port, {
      resolve: async (host) => {
        asked.push(host);
        return answers[asked.length - 1] ?? [];
      },
    });
    const url = `http://${NAME}:${receiver.port}/`;
    expect((await post(sender, url)).status).toBe(200);
    expect(asked).toEqual([NAME]);
    // Each request asks anew, and checks anew.
    await expect(post(sender, url)).rejects.toMatchObject(refusal('address'));
    expect(asked).toHaveLength(2);
    expect(receiver.connections).toBe(1);
  });

  test('leave for no address when one of a name is refused', async () => {
    const receiver = await Receiver.start();
    const sender = outbound(receiver.port, { resolve: async () => ['127.0.0.1', '10.0.0.1'] });
    await expect(post(sender, `http://${NAME}:${receiver.port}/`)).rejects.toMatchObject(refusal('address'));
    expect(receiver.connections).toBe(0);
  });

  test.each(['127.0.0.1', '169.254.169.254', '::1', '::ffff:127.0.0.1', '64:ff9b::7f00:1', 'nonsense'])(
    'never reach %s behind a name on a usual port',
    async (address) => {
      const sender = new Outbound({ allow: AllowList.none, resolve: async () => [address] });
      await expect(post(sender, `http://${NAME}/`)).rejects.toMatchObject(refusal('address'));
    },
  );

  test('take the next checked address when one does not answer', async () => {
    const receiver = await Receiver.start();
    const allow = AllowList.parse(`127.0.0.0/8:${receiver.port}`) ?? AllowList.none;
    const sender = outbound(receiver.port, { allow, resolve: async () => ['127.0.0.9', '127.0.0.1'] });
    expect((await post(sender, `http://${NAME}:${receiver.port}/`)).status).toBe(200);
  });

  test('do not follow a redirect', async () => {
    const receiver = await Receiver.start();
    receiver.answer = (response) => response.writeHead(307, { location: '/again' }).end();
    expect((await post(outbound(receiver.port), `http://${NAME}:${receiver.port}/`)).status).toBe(307);
    expect(receiver.requests).toHaveLength(1);
  });

  test('end with the head of an answer, however long its body is', async () => {
    const receiver = await Receiver.start();
    let sent = 0;
    let closed: () => void;
    const closing = new Promise<void>((resolve) => {
      closed = resolve;
    });
    receiver.answer = (response) => {
      const chunk = Buffer.alloc(1024 * 1024);
      const more = () => {
        while (!response.destroyed && sent < 1024) {
          sent += 1;
          if (!response.write(chunk)) {
            response.once('drain', more);
            return;
          }
        }
      };
      response.on('close', () => closed());
      more();
    };
    expect((await post(outbound(receiver.port), `http://${NAME}:${receiver.port}/`)).status).toBe(200);
    await closing;
    expect(sent).toBeLessThan(64);
  });

  test.each<[string, Parameters<typeof withAnswer>[0]]>([
    ['never answers', () => undefined],
    [
      'sends a head without an end',
      (response) => void response.socket?.write('HTTP/1.1 200 OK\r\nx-a: b\r\n'),
    ],
  ])('end by their time when the other side %s', async (_, answer) => {
    const receiver = await withAnswer(answer);
    const sender = outbound(receiver.port, { timeoutMs: 300 });
    await expect(post(sender, `http://${NAME}:${receiver.port}/`)).rejects.toMatchObject(failure('timeout'));
  });

  test.each<[string, Parameters<typeof withAnswer>[0]]>([
    [
      'a head beyond its limit',
      (response) => void response.writeHead(200, { 'x-a': 'b'.repeat(64_000) }).end(),
    ],
    ['what is no HTTP', (response) => void response.socket?.end('SSH-2.0-OpenSSH\r\n')],
  ])('fail by name with %s', async (_, answer) => {
    const receiver = await withAnswer(answer);
    await expect(post(outbound(receiver.port), `http://${NAME}:${receiver.port}/`)).rejects.toMatchObject(
      failure('http'),
    );
  });

  test('fail by name when nobody listens, and when the name has no address', async () => {
    const receiver = await Receiver.start();
    const { port } = receiver;
    await receiver.close();
    await expect(post(outbound(port), `http://${NAME}:${port}/`)).rejects.toMatchObject(failure('connect'));
    const nowhere = outbound(port, { resolve: async () => [] });
    await expect(post(nowhere, `http://${NAME}:${port}/`)).rejects.toMatchObject(failure('dns'));
    const silent = outbound(port, { resolve: () => new Promise(() => undefined), timeoutMs: 100 });
    await expect(post(silent, `http://${NAME}:${port}/`)).rejects.toMatchObject(failure('dns'));
  });
});

describe('requests over TLS', () => {
  const mine = certificate(NAME);

  test('go to the checked address, and the certificate has to be of the name', async () => {
    const receiver = await Receiver.start(mine);
    const sender = outbound(receiver.port, { ca: mine.cert });
    expect((await post(sender, `https://${NAME}:${receiver.port}/`)).status).toBe(200);
    expect(receiver.requests).toHaveLength(1);
  });

  test.each([
    ['another name', certificate('other.example.com'), true],
    ['nobody known', certificate(NAME), false],
  ])('are not sent to a server whose certificate is of %s', async (_, theirs, isKnown) => {
    const receiver = await Receiver.start(theirs);
    const sender = outbound(receiver.port, { ca: isKnown ? theirs.cert : mine.cert });
    await expect(post(sender, `https://${NAME}:${receiver.port}/`)).rejects.toMatchObject(failure('tls'));
    expect(receiver.requests).toHaveLength(0);
  });
});

async function withAnswer(answer: Receiver['answer']): Promise<Receiver> {
  const receiver = await Receiver.start();
  receiver.answer = answer;
  return receiver;
}

/** Of its own, for one name. */
function certificate(name: string): { key: string; cert: string } {
  const folder = mkdtempSync(join(tmpdir(), 'mf-tls-'));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const request = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '2',
  ];
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
  try {
    execFileSync('openssl', [...request, ...subject, '-keyout', key, '-out', cert], { stdio: 'pipe' });
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
