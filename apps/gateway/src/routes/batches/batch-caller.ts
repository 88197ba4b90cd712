import type { ServerResponse } from 'node:http';
import { OUTCOMES } from '@mayfly/contracts';
import type { FastifyRequest } from 'fastify';
import type { BatchLine } from '../../batches/read-lines.js';
import { gatewayError } from '../../errors.js';
import { carryOutOnce } from '../../idempotency/carry-out.js';
import { Claims } from '../../idempotency/claims.js';
import { type OnceRequest, onceRequest } from '../../idempotency/idempotency-key.js';
import { answerOfRecord } from '../../invocations/answer.js';
import type { Call } from '../../invocations/call.js';
import { resultBytes } from '../../invocations/result-bytes.js';
import { formatSchemaErrors } from '../../plugins/schema-errors.js';
import { type Answer, isHostFault, problemOfError } from '../../problem.js';
import { type BatchItem, BatchItemSchema } from '../../schemas/batch.js';
import type { Services } from '../../services.js';
import { findClaimed } from '../invocations/find.js';
import { prepareEnvelope } from '../invoke/prepare-envelope.js';
import { longestRunMs } from '../invoke/respond-once.js';

/** What an earlier request with the batch's key runs is joined so long. */
const JOIN_MS = 60_000;
const ROUTE = '/v1/functions/{name}/invoke-batch';

export interface BatchRequest {
  readonly request: FastifyRequest;
  readonly functionName: string;
  /** Of the batch. Each call of it has one of its own, so that a batch that comes again goes on where it ended. */
  readonly idempotencyKey: string | undefined;
  /** Cancels the calls that it waits for by going away; absent: they go on without it. */
  readonly client?: ServerResponse | undefined;
}

/** One call of a batch that was accepted, or why it was not. */
export interface AcceptedItem {
  readonly index: number;
  readonly invocationId?: string;
  readonly replayed?: boolean;
  readonly problem?: Record<string, unknown>;
  /** Behind the problem. */
  readonly error?: unknown;
}

/** Takes the calls of one batch, each by itself. Nothing here rejects: what is wrong with a call is its answer. */
export class BatchCaller {
  readonly #services: Services;
  readonly #batch: BatchRequest;
  readonly #claims: Claims;

  constructor(services: Services, batch: BatchRequest) {
    this.#services = services;
    this.#batch = batch;
    this.#claims = new Claims(services.redis);
  }

  /** Runs a call. @returns its line of the answer. */
  async invoke(line: BatchLine, index: number): Promise<string> {
    try {
      const { call, once } = await this.#prepare(line, index, false);
      const { answer, replayed } = await this.#answer(call, once);
      return lineOf(index, answer, replayed);
    } catch (error) {
      this.#note(error);
      return lineOf(index, problemOfError(error), false);
    }
  }

  /** Queues a call. */
  async accept(line: BatchLine, index: number): Promise<AcceptedItem> {
    const { invoker } = this.#services;
    try {
      const { call, once } = await this.#prepare(line, index, true);
      if (once === undefined) return { index, invocationId: (await invoker.accept(call)).invocationId };
      const end = await this.#once(call, once, true, (invocationId) =>
        invoker.accept({ ...call, invocationId }),
      );
      if (end.kind === 'ran') return { index, invocationId: end.value.invocationId };
      const { invocationId } = end.kind === 'taken' ? end.known.accepted : end.ended;
      return { index, invocationId, replayed: true };
    } catch (error) {
      this.#note(error);
      return { index, problem: JSON.parse(String(problemOfError(error).body)), error };
    }
  }

  async #prepare(line: BatchLine, index: number, durable: boolean) {
    if ('error' in line) throw line.error;
    const { request, functionName, idempotencyKey } = this.#batch;
    const { tenant, headers } = request;
    const { value, bytes } = line;
    const item = checkItem(request, value);
    const { call, qualifier } = await prepareEnvelope(this.#services, {
      ...{ tenant, headers, bodyBytes: bytes, durable },
      body: { ...item, function: functionName },
    });
    if (idempotencyKey === undefined) return { call, once: undefined };
    const scope = {
      ...{ tenant, route: ROUTE, function: functionName },
      qualifier: JSON.stringify(qualifier),
    };
    return { call, once: onceRequest(`${idempotencyKey}#${index}`, scope, [JSON.stringify(value)]) };
  }

  async #answer(
    call: Call,
    once: OnceRequest | undefined,
  ): Promise<{ readonly answer: Answer; readonly replayed: boolean }> {
    const { invoker, blobs } = this.#services;
    const { client } = this.#batch;
    if (once === undefined) return { answer: await invoker.invoke(call, client), replayed: false };
    const end = await this.#once(call, once, false, (invocationId) =>
      invoker.invoke({ ...call, invocationId }, client),
    );
    if (end.kind === 'ran') return { answer: end.value, replayed: false };
    if (end.kind === 'taken')
      throw gatewayError('MAYFLY_ERR_GATEWAY_INTERNAL', 'a call that is waited for was not');
    const { ended } = end;
    return { answer: answerOfRecord(ended, await resultBytes(blobs, ended), call.shape), replayed: true };
  }

  #once<T>(call: Call, once: OnceRequest, isAsync: boolean, run: (invocationId: string) => Promise<T>) {
    const { tenant, signal } = this.#batch.request;
    const services = this.#services;
    const { ends } = services;
    const runMs = longestRunMs(call.timeoutMs);
    return carryOutOnce(
      {
        ...{ claims: this.#claims, ends },
        find: (ofTenant, invocationId) => findClaimed(services, ofTenant, invocationId),
      },
      { tenant, once, signal, isAsync, runMs, waitMs: JOIN_MS, run },
    );
  }

  /** As of a request of its own. */
  #note(error: unknown): void {
    this.#services.throttles.note(this.#batch.request.tenant, error);
    if (isHostFault(error)) this.#services.logger.error({ err: error }, 'call of a batch failed');
  }
}

/** @throws what the schema finds, as it would of a request's body */
function checkItem(request: FastifyRequest, value: unknown): BatchItem {
  const validate = request.compileValidationSchema(BatchItemSchema, 'body');
  if (validate(value)) return value as BatchItem;
  throw formatSchemaErrors([...(validate.errors ?? [])] as Parameters<typeof formatSchemaErrors>[0], 'body');
}

function lineOf(index: number, { status, headers, body }: Answer, replayed: boolean): string {
  const parsed = JSON.parse(String(body)) as Record<string, unknown>;
  const code = String(parsed['code']);
  const outcome = status === 200 ? 'succeeded' : Object.hasOwn(OUTCOMES, code) ? code : undefined;
  const line = {
    index,
    status,
    outcome,
    invocationId: headers['invocation-id'] ?? parsed['invocationId'],
    version: parsed['version'],
    ...(replayed && { replayed }),
    ...(status === 200 ? { result: parsed['result'] } : { problem: parsed }),
  };
  return `${JSON.stringify(line)}\n`;
}
