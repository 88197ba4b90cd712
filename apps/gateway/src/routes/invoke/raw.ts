import { LIMITS } from '@mayfly/contracts';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { readOnce } from '../../idempotency/read-once.js';
import { storeResultOf } from '../../invocations/call.js';
import { checkMemory, timeoutOf } from '../../invocations/call-limits.js';
import { givenToGuest } from '../../invocations/given-to-guest.js';
import { inputOfBody } from '../../invocations/input.js';
import { readPreferences } from '../../invocations/prefer.js';
import { parseTarget } from '../../invocations/qualifier.js';
import { checkRawBody, readRawCall, readTimeout } from '../../invocations/raw-call.js';
import { InvocationSchema } from '../../schemas/invocation.js';
import { RawQuery } from '../../schemas/invoke.js';
import { problems, Strict } from '../../schemas/shared.js';
import type { Services } from '../../services.js';
import { respond } from './respond.js';

const RawParams = Strict({
  target: Type.String({
    pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,63}(?:@[1-9][0-9]{0,14}|:[A-Za-z][A-Za-z0-9_-]{0,62})?$',
    description: '{function}, {function}@{version} or {function}:{alias}',
  }),
});
const NO_BYTES = Buffer.alloc(0);

/** `POST /invoke/{fn}`, `/invoke/{fn}@{version}` and `/invoke/{fn}:{alias}`: the body is the argument, the answer's body is the result. */
export function rawRoute(scope: FastifyInstance, services: Services): void {
  const { resolver, blobs } = services;
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser(
    '*',
    { parseAs: 'buffer', bodyLimit: LIMITS.invocationBodyBytes },
    (_request, body, done) => done(null, body),
  );
  scope.post<{
    Params: Static<typeof RawParams>;
    Querystring: Static<typeof RawQuery>;
    Body: Buffer | undefined;
  }>(
    '/invoke/:target',
    {
      config: { scope: 'function:invoke' },
      bodyLimit: LIMITS.invocationBodyBytes,
      schema: {
        summary: 'Invoke a function with a raw body',
        description:
          'For entrypoints that take one bytes or string and return one of both. The media type of the answer is the one that the manifest names.',
        params: RawParams,
        querystring: RawQuery,
        response: {
          200: {
            description: 'The result',
            content: { '*/*': { schema: Type.String({ format: 'binary' }) } },
          },
          202: InvocationSchema,
          ...problems('4XX', '5XX'),
        },
      },
    },
    async (request, reply) => {
      const { tenant, query } = request;
      services.invoker.checkOpen();
      const target = parseTarget(request.params.target);
      const { name } = target;
      const preferences = readPreferences(request.headers);
      const wanted = { tenant, ...target, headers: request.headers };
      const resolved = preferences.respondAsync
        ? await resolver.resolve(wanted)
        : await resolver.resolveRoutable(wanted, () => request.signal);
      const { version, alias } = resolved;
      const { quotas } = services.policies.of(tenant);
      const rawCall = readRawCall(version.manifest, query.entrypoint);
      const { entrypoint, takes, returns, shape } = rawCall;
      const timeoutMs = timeoutOf(resolved, quotas, readTimeout(query.timeoutMs), '#timeoutMs');
      checkMemory(resolved, quotas);
      const body = request.body ?? NO_BYTES;
      checkRawBody(rawCall, body, version.manifest);
      const once = readOnce(request, {
        ...{ route: '/invoke/{target}', name, qualifier: target, settings: resolved.settings },
        payload: () => [body, query.entrypoint, query.timeoutMs],
      });
      const callback = await services.callbacks.read(request.headers, tenant, preferences.respondAsync);
      const prepared = await inputOfBody(takes, body, { tenant, blobs, durable: preferences.respondAsync });
      const giving = givenToGuest(services.secretGrants, tenant, resolved.settings);
      const given = giving instanceof Promise ? await giving : giving;
      const ref = services.registry.refOf(tenant, name, version);
      return respond(
        { request, reply, services },
        {
          call: {
            ref,
            alias,
            entrypoint,
            ...prepared,
            returns,
            timeoutMs,
            shape,
            given,
            callback,
            ...storeResultOf(resolved.settings),
            retry: resolved.settings.retry,
            trace: request.trace,
          },
          preferences,
          once,
        },
      );
    },
  );
}
