/** The version of the SDK, written into the first line of every segment. */
export const VERSION = "0.1.0";
