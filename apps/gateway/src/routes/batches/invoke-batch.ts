import { hash } from 'node:crypto';
import { Readable } from 'node:stream';
import { LIMITS } from '@mayfly/contracts';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { asTheyFinish } from '../../batches/as-they-finish.js';
import { BatchStore } from '../../batches/batch-store.js';
import { readAhead } from '../../batches/read-ahead.js';
import { type BatchLine, readArray, readLines } from '../../batches/read-lines.js';
import { gatewayError, invalidRequest } from '../../errors.js';
import { readIdempotencyKey } from '../../idempotency/idempotency-key.js';
import { newBatchId } from '../../ids.js';
import { readPreferences } from '../../invocations/prefer.js';
import { BatchAccepted, BatchItemSchema, BatchLineSchema } from '../../schemas/batch.js';
import { FunctionParams, problems } from '../../schemas/shared.js';
import type { Services } from '../../services.js';
import { type AcceptedItem, BatchCaller } from './batch-caller.js';

const NDJSON = 'application/x-ndjson';
/** Calls of one batch that are under way at once: some jobs full of them. */
const AT_ONCE = 64;

type Lines = AsyncIterable<BatchLine> | readonly BatchLine[];

/** `POST /v1/functions/{name}/invoke-batch`: many calls in one request, a line of answer each as they finish. */
export function invokeBatchRoute(scope: FastifyInstance, services: Services): void {
  const batches = new BatchStore(services.redis);
  scope.addContentTypeParser(NDJSON, (_request, payload, done) => done(null, payload));
  scope.post<{ Params: Static<typeof FunctionParams>; Body: unknown }>(
    '/v1/functions/:name/invoke-batch',
    {
      config: { scope: 'function:invoke' },
      bodyLimit: LIMITS.batchBodyBytes,
      schema: {
        summary: 'Invoke a function many times',
        description:
          'A call a line (application/x-ndjson) or an array of them (application/json). Answers with a line each, as they finish; with `Prefer: respond-async` with 202 once all are queued. What is wrong with a call is its own problem. With an `Idempotency-Key`, a batch that comes again runs only what did not end.',
        consumes: [NDJSON, 'application/json'],
        params: FunctionParams,
        body: Type.Array(BatchItemSchema, { maxItems: LIMITS.batchItems }),
        response: {
          200: {
            description: 'A line of JSON for each call',
            content: { [NDJSON]: { schema: BatchLineSchema } },
          },
          202: BatchAccepted,
          ...problems('4XX', '5XX'),
        },
      },
      // The schema describes the body; each call of it is checked by itself.
      attachValidation: true,
    },
    async (request, reply) => {
      if (request.validationError?.validationContext === 'params') throw request.validationError;
      services.invoker.checkOpen();
      const { tenant, headers, body } = request;
      const { name } = request.params;
      const { respondAsync } = readPreferences(headers);
      const { settings } = await services.resolver.resolve({ tenant, name, headers });
      const idempotencyKey = readIdempotencyKey(headers, settings.requireIdempotencyKey);
      const lines = linesOf(body);
      const client = settings.onDisconnect === 'detach' ? undefined : reply.raw;
      // Each call under way listens for its client's end, and the server itself does.
      client?.setMaxListeners(AT_ONCE + 16);
      const caller = new BatchCaller(services, { request, functionName: name, idempotencyKey, client });
      if (!respondAsync) return answerAsTheyFinish(reply, lines, caller);
      const items = await acceptAll(lines, caller);
      const batchId = batchIdOf(request, name, idempotencyKey);
      const invocationIds = items.flatMap(({ invocationId }) => invocationId ?? []);
      const refused = items.length - invocationIds.length;
      const createdAtMs = Date.now();
      await batches.write(tenant, { v: 1, batchId, function: name, createdAtMs, invocationIds, refused });
      const self = `/v1/batches/${batchId}`;
      return reply
        .code(202)
        .headers({ location: self, 'retry-after': '1', 'preference-applied': 'respond-async' })
        .send({ batchId, invocations: items.map(({ error: _, ...item }) => item), links: { self } });
    },
  );
}

function linesOf(body: unknown): Lines {
  if (body instanceof Readable) return readAhead(readLines(body));
  if (body === undefined)
    throw gatewayError('MAYFLY_ERR_GATEWAY_MEDIA_TYPE', `expected ${NDJSON} or application/json`);
  return readArray(body);
}

/** The lines leave as the client takes them; when it goes away, no further call begins, and what runs is canceled. */
function answerAsTheyFinish(reply: FastifyReply, lines: Lines, caller: BatchCaller): FastifyReply {
  const answers = asTheyFinish(lines, AT_ONCE, (line, index) => caller.invoke(line, index));
  reply.headers({ 'content-type': NDJSON, 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' });
  return reply.send(Readable.from(answers));
}

/** @throws what is wrong with the first call where none of them was accepted */
async function acceptAll(lines: Lines, caller: BatchCaller): Promise<AcceptedItem[]> {
  const items: AcceptedItem[] = [];
  const answers = asTheyFinish(lines, AT_ONCE, (line, index) => caller.accept(line, index));
  for await (const item of answers) items.push(item);
  items.sort((one, other) => one.index - other.index);
  const [first] = items;
  if (first === undefined) throw invalidRequest({ pointer: '', detail: 'expected at least one call' });
  if (items.every(({ invocationId }) => invocationId === undefined)) throw first.error;
  return items;
}

/** A batch that comes again with its key is the same batch. */
function batchIdOf({ tenant }: FastifyRequest, name: string, idempotencyKey: string | undefined): string {
  if (idempotencyKey === undefined) return newBatchId(Date.now());
  return `bat_${hash('sha256', JSON.stringify([tenant, name, idempotencyKey])).slice(0, 32)}`;
}
