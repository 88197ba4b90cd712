import type { FastifyReply } from 'fastify';
import { answerCall, type Exchange, type Order } from './answer-call.js';
import { respondOnce } from './respond-once.js';

/** Answers a validated request for a call. */
export function respond(exchange: Exchange, order: Order): Promise<FastifyReply> {
  const { once } = order;
  return once === undefined ? answerCall(exchange, order) : respondOnce(exchange, { ...order, once });
}
