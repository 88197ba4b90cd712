import type { HrTime, Attributes as SdkAttributes } from '@opentelemetry/api';
import type { Attributes } from '../trace/span-data.js';

const NS_PER_S = 1_000_000_000n;

export function hrTime(ns: bigint): HrTime {
  return [Number(ns / NS_PER_S), Number(ns % NS_PER_S)];
}

/** The SDK's types ask for attributes that may be changed; its exporters only read them. */
export function mutable(attributes: Attributes): SdkAttributes {
  return attributes as SdkAttributes;
}
