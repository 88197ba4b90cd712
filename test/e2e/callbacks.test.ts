import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kvmWorks, type Mayfly, startMayfly } from '../helpers/mayfly.js';

describe.skipIf(!kvmWorks)('completion callbacks, with real processes (needs /dev/kvm)', () => {
  let mayfly: Mayfly;
  let folder: string;
  const requests: { headers: IncomingHttpHeaders; body: string; response: ServerResponse }[] = [];
  const arrivals = new EventTarget();
  const receiver = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    requests.push({ headers: request.headers, body: Buffer.concat(chunks).toString('utf8'), response });
    arrivals.dispatchEvent(new Event('request'));
  });
  const received = async (count: number) => {
    while (requests.length < count)
      await new Promise((resolve) => arrivals.addEventListener('request', resolve, { once: true }));
    return requests[count - 1] as (typeof requests)[number];
  };

  beforeAll(async () => {
    receiver.listen(0, '127.0.0.1');
    await once(receiver, 'listening');
    folder = await mkdtemp(path.join(tmpdir(), 'mf-e2e-callbacks-'));
    const keyFile = path.join(folder, 'keys');
    await writeFile(keyFile, randomBytes(32).toString('hex'));
    const { port } = receiver.address() as AddressInfo;
    mayfly = await startMayfly({
      env: { MAYFLY_SECRETS_KEY_FILE: keyFile, MAYFLY_GATEWAY_OUTBOUND_ALLOW: `127.0.0.1:${port}` },
    });
    expect((await mayfly.upload('hello')).status).toBe(201);
    const headers = { 'content-type': 'application/json', 'if-match': '*' };
    const policy = JSON.stringify({ requiresKvm: 'any', callbackHosts: ['127.0.0.1'] });
    const target = '/v1/tenants/default/policy';
    expect((await mayfly.operator(target, { method: 'PUT', headers, body: policy })).status).toBe(200);
    const made = await mayfly.request('/v1/webhook-secret', { method: 'POST', headers, body: '{}' });
    expect(made.status).toBe(201);
  });
  afterAll(async () => {
    await mayfly?.stop();
    receiver.closeAllConnections();
    receiver.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('are made by another gateway when the one that was at it is killed', async () => {
    const { port } = receiver.address() as AddressInfo;
    const accepted = await mayfly.request('/invoke', {
      method: 'POST',
      headers: {
        ...{ 'content-type': 'application/json', prefer: 'respond-async' },
        'callback-url': `http://127.0.0.1:${port}/done`,
      },
      body: JSON.stringify({ function: 'hello', args: ['Ada'] }),
    });
    expect(accepted.status).toBe(202);
    const { invocationId } = (await accepted.json()) as { invocationId: string };
    // The first one gets no answer: its gateway dies in the middle of it.
    const first = await received(1);
    await mayfly.gateway.end('SIGKILL');
    await mayfly.startGateway();
    const second = await received(2);
    second.response.writeHead(204).end();
    for (const { headers } of [first, second]) expect(headers['webhook-id']).toBe(invocationId);
    expect(JSON.parse(second.body)).toMatchObject({
      type: 'invocation.succeeded',
      data: { result: { value: 'Hello, Ada!' } },
    });
    const state = async () =>
      ((await (await mayfly.request(`/v1/invocations/${invocationId}`)).json()) as { callback: object })
        .callback;
    await expect.poll(state).toMatchObject({ state: 'delivered', attempts: 2, lastStatus: 204 });
    expect(requests).toHaveLength(2);
  }, 90_000);
});
