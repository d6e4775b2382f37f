export { describe } from './describe.js';
export { deserializeError, type JsonValue, type SerializedError, serializeError } from './serialize.js';
export { ServerError } from './server-error.js';
export { adviceOf, type ErrorCode, type ErrorDetails, errorTable } from './table.js';
export { told } from './told.js';
