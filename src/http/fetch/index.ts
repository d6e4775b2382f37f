export { FetchEnv, type FetchInfo, fetchHandler } from './fetch-handler.js';
export { installLight } from './install.js';
export { LightRequest } from './light-request.js';
export { LightResponse } from './light-response.js';
