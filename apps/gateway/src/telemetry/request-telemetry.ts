import type { IncomingHttpHeaders } from 'node:http';
import { parseTraceContext, type Telemetry } from '@mayfly/telemetry';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { PassedOnTrace } from './passed-on-trace.js';
import { type CallTrace, RequestTrace } from './request-trace.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Absent when neither this gateway nor the client traces the request. */
    trace: CallTrace | undefined;
  }
}

/** As nginx logs it: the client went away before its answer. */
const CLIENT_GONE = 499;
/** Asked every few seconds by whoever watches; a trace of each is noise. */
const UNTRACED: readonly (string | undefined)[] = ['/livez', '/readyz'];

/** Metrics and traces of HTTP requests: one hook, and one listener a request. */
export function observeRequests(app: FastifyInstance, telemetry: Telemetry<'gateway'>): void {
  const { metrics, tracing } = telemetry;
  const { httpActive, httpDuration, httpRequestSize, httpResponseSize } = metrics.instruments;
  let active = 0;
  metrics.observe(['httpActive'], () => httpActive.add(active, ''));
  app.decorateRequest('trace', undefined);

  app.addHook('onRequest', (request, reply, done) => {
    const startedAt = performance.now();
    const { headers } = request;
    const client = clientContext(headers);
    const isTraced = tracing !== undefined && !UNTRACED.includes(request.routeOptions.url);
    const trace = isTraced ? new RequestTrace(tracing, client) : undefined;
    request.trace = trace ?? (client && new PassedOnTrace(client));
    active += 1;
    reply.raw.once('close', () => {
      active -= 1;
      const { method } = request;
      const route = request.routeOptions.url ?? '';
      const status = reply.raw.writableFinished ? reply.raw.statusCode : CLIENT_GONE;
      httpDuration.record((performance.now() - startedAt) / 1000, method, route, String(status));
      httpRequestSize.record(Number(headers['content-length'] ?? 0), method, route);
      httpResponseSize.record(responseBytes(reply), method, route);
      trace?.end({ method, route, path: pathOf(request), status, tenant: request.tenant });
    });
    done();
  });
}

function clientContext(headers: IncomingHttpHeaders & { traceparent?: unknown; tracestate?: unknown }) {
  const { traceparent, tracestate } = headers;
  return traceparent === undefined ? undefined : parseTraceContext(traceparent, tracestate);
}

function responseBytes({ raw }: FastifyReply): number {
  return Number(raw.getHeader('content-length') ?? 0);
}

/** Without the query: a value in it may be the caller's own affair. */
function pathOf({ url }: FastifyRequest): string {
  const [path = ''] = url.split('?');
  return path.slice(0, 256);
}
