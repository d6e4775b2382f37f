import { framed, http1, stream, tunnel, webSocket } from './protocol/spoken.js';
import { protocolConformance } from './protocol.conformance.js';

protocolConformance(stream);
protocolConformance(tunnel, true);
protocolConformance(framed);
protocolConformance(http1);
protocolConformance(webSocket);
