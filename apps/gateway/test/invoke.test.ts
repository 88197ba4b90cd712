import { describe, expect, it } from 'vitest';
import { ECHO_MANIFEST, startGateway } from './support/test-gateway.js';

describe('POST /invoke', () => {
  it('answers with the typed result, and says which version ran and how long it took', async () => {
    const gateway = await startGateway();
    await gateway.startWorker();
    expect((await gateway.upload('echo', ECHO_MANIFEST)).status).toBe(201);
    const response = await gateway.invoke({ function: 'echo', entrypoint: 'echo-int', args: [3] });
    expect(response.status).toBe(200);
    const body = await response.json();
    expect(body).toEqual({
      result: { type: 'int', value: 3 },
      invocationId: expect.stringMatching(/^inv_[0-9a-f]{32}$/),
      function: 'echo',
      version: 1,
      timings: { queueUs: 700, acquireUs: 20, restoreUs: 30, runUs: 40, resultUs: 10, totalUs: 800 },
    });
    expect(response.headers.get('invocation-id')).toBe(body.invocationId);
    expect(response.headers.get('function-version')).toBe('1');
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(response.headers.get('server-timing')).toContain('run;dur=0.04');
  });
});
