import { GIVE_BACK } from './give-back.js';
import { NAMES } from './names.js';
import { ENQUEUE, RELEASE } from './release.js';
import { WINDOW } from './window.js';

/** What every script that may let calls go begins with. */
export const GATE = NAMES + WINDOW + GIVE_BACK + ENQUEUE + RELEASE;
