import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { isMayflyError } from '@mayfly/contracts';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { gatewayError, notFound } from '../errors.js';
import { type Answer, isHostFault, problemOfError } from '../problem.js';
import type { Services } from '../services.js';

export function sendAnswer(reply: FastifyReply, answer: Answer): FastifyReply {
  return reply.code(answer.status).headers(answer.headers).send(answer.body);
}

export type ProblemObservers = Pick<Services, 'logger' | 'throttles'>;

/** Errors of handlers and hooks, and paths that no route has, leave as problems. */
export function answerWithProblems(app: FastifyInstance, { logger, throttles }: ProblemObservers): void {
  app.setErrorHandler((error: FastifyError, request, reply) => {
    throttles.note(request.tenant, error);
    if (isHostFault(error)) logger.error({ err: error }, 'request failed');
    // The next request of this connection shall find another gateway.
    if (isMayflyError(error, 'MAYFLY_ERR_GATEWAY_DRAINING')) reply.header('connection', 'close');
    return sendAnswer(reply, problemOfError(error));
  });
  app.setNotFoundHandler((request, reply) =>
    sendAnswer(reply, problemOfError(notFound(`${request.method} ${request.url.slice(0, 200)}`))),
  );
}

/** What the router refuses before a route is found, such as a path that does not decode. */
export function answerFrameworkError(
  error: FastifyError,
  _request: FastifyRequest,
  reply: FastifyReply,
): void {
  void sendAnswer(reply, problemOfError(error));
}

/** What is no HTTP request at all; there is no reply object yet. */
export function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const { status, headers, body } = problemOfError(clientFault(error.code));
  if (socket.writable && !hasPendingResponse(socket)) {
    const lines = Object.entries({
      ...headers,
      'content-length': String(Buffer.byteLength(body)),
      connection: 'close',
    });
    socket.write(`HTTP/1.1 ${status} ${PHRASES[status] ?? 'Bad Request'}\r\n`);
    socket.write(`${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`);
  }
  socket.destroySoon();
}

const PHRASES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
};

function clientFault(code: string | undefined) {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return gatewayError('MAYFLY_ERR_GATEWAY_REQUEST_TIMEOUT', 'the request did not arrive in time');
  if (code === 'HPE_HEADER_OVERFLOW')
    return gatewayError('MAYFLY_ERR_GATEWAY_HEADERS_TOO_LARGE', 'the header fields are too large');
  return gatewayError('MAYFLY_ERR_GATEWAY_INVALID_REQUEST', 'this is not HTTP');
}

/** A response that has begun must not get a second head in its middle. */
function hasPendingResponse(socket: Socket): boolean {
  const { _httpMessage: response } = socket as Socket & { _httpMessage?: ServerResponse };
  return response?.headersSent === true;
}
