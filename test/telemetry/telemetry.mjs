// The SDK as a user starts it; where it sends to stands in the environment.
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { NodeSDK } from '@opentelemetry/sdk-node';

const instrumentations = process.env.INSTRUMENTED === undefined ? [] : [new HttpInstrumentation()];
new NodeSDK({ serviceName: 'traced', instrumentations }).start();
