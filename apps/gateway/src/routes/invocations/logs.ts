import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { tagged } from '../../invocations/etag.js';
import { InvocationParams, NotModified, problems, WaitHeaders } from '../../schemas/shared.js';
import type { Services } from '../../services.js';
import { waitForInvocation } from './find.js';

const NDJSON = 'application/x-ndjson';
const TEXT = 'text/plain';

/** `GET /v1/invocations/{id}/logs`: the end of what the guest printed and logged, as text or as a line of JSON each. */
export function logsRoute(scope: FastifyInstance, services: Services): void {
  scope.get<{ Params: Static<typeof InvocationParams> }>(
    '/v1/invocations/:id/logs',
    {
      config: { scope: 'invocation:read', pattern: 'handler' },
      schema: {
        summary: 'Log of an invocation',
        description:
          'The last 4 KiB of what the guest printed and logged; empty while it runs. `Accept: application/x-ndjson`: one `{"message"}` a line.',
        params: InvocationParams,
        headers: WaitHeaders,
        response: {
          200: {
            description: 'The log',
            content: { [TEXT]: { schema: Type.String() }, [NDJSON]: { schema: Type.String() } },
          },
          304: NotModified,
          ...problems('4XX', '5XX'),
        },
      },
    },
    async (request, reply) => {
      const { known } = await waitForInvocation(services, request, reply);
      const text = known.ended?.logTail ?? '';
      const isNdjson = request.headers.accept?.includes(NDJSON) === true;
      const body = isNdjson ? linesOf(text) : text;
      // A guest's text reaches a browser as text.
      reply.headers({
        'content-type': isNdjson ? NDJSON : `${TEXT}; charset=utf-8`,
        'x-content-type-options': 'nosniff',
        'cache-control': 'no-store',
        vary: 'accept',
      });
      return tagged(request, reply, body) ? reply.code(304).send() : reply.send(body);
    },
  );
}

function linesOf(text: string): string {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines.map((message) => `${JSON.stringify({ message })}\n`).join('');
}
