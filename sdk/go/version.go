package contextcore

// Version of the SDK. The first line of every segment has it.
const Version = "0.1.0"
