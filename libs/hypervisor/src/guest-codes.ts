/** Names of guest ABI error codes, misspellings included (guest-abi 7.4). */
const NAMES: ReadonlyMap<number, string> = new Map([
  [0, 'NoError'],
  [2, 'UnsupportedParameterType'],
  [3, 'GuestFunctionNameNotProvided'],
  [4, 'GuestFunctionNotFound'],
  [5, 'GuestFunctionIncorrecNoOfParameters'],
  [6, 'GispatchFunctionPointerNotSet'],
  [7, 'OutbError'],
  [8, 'UnknownError'],
  [9, 'StackOverflow'],
  [10, 'GsCheckFailed'],
  [11, 'TooManyGuestFunctions'],
  [12, 'FailureInDlmalloc'],
  [13, 'MallocFailed'],
  [14, 'GuestFunctionParameterTypeMismatch'],
  [15, 'GuestError'],
  [16, 'ArrayLengthParamIsMissing'],
  [17, 'HostFunctionError'],
]);

export const GuestCode = {
  UnknownError: 8,
  StackOverflow: 9,
  MallocFailed: 13,
  HostFunctionError: 17,
} as const;

/** Unknown codes are `UnknownError`. */
export function guestCodeName(code: number): string {
  return NAMES.get(code) ?? 'UnknownError';
}
