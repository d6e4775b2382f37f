import { framed, http1, stream, tunnel } from './protocol/spoken.js';
import { protocolConformance } from './protocol.conformance.js';

protocolConformance(stream);
protocolConformance(tunnel, true);
protocolConformance(framed);
protocolConformance(http1);
