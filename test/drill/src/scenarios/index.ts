import type { Scenario } from '../scenario.js';
import { gatewayPoints } from './gateway-points.js';
import { kills, stops } from './kills.js';

export const SCENARIOS: readonly Scenario[] = [kills, stops, gatewayPoints];
