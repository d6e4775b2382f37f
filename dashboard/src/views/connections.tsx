import { useState } from 'preact/hooks';
import { change, read } from '../api.ts';
import { age, bytes } from '../format.ts';
import { ActButton, Panel, Table, useAnswer, Why } from '../parts.tsx';
import type { Connection } from '../types.ts';

const PAGE = 50;

interface Page {
  readonly connections: readonly Connection[];
  readonly next: number;
}

export function Connections() {
  const [address, setAddress] = useState('');
  const [workerId, setWorkerId] = useState('');
  /** Where each page began. */
  const [starts, setStarts] = useState<readonly number[]>([0]);
  const after = starts.at(-1) ?? 0;
  const given = {
    after,
    count: PAGE,
    ...(address !== '' && { address }),
    ...(/^\d+$/.test(workerId) && { workerId: Number(workerId) }),
  };
  const [page, why] = useAnswer(() => read<Page>('connections', given), [after, address, workerId]);
  const search = (set: (text: string) => void) => (event: Event) => {
    set((event.currentTarget as HTMLInputElement).value.trim());
    setStarts([0]);
  };
  return (
    <Panel
      title="Connections"
      aside={
        <div class="row">
          <input
            type="search"
            aria-label="Client address"
            placeholder="client address"
            value={address}
            onInput={search(setAddress)}
          />
          <input
            type="search"
            aria-label="Worker"
            placeholder="worker"
            size={6}
            value={workerId}
            onInput={search(setWorkerId)}
          />
        </div>
      }
    >
      <Why text={why} />
      <Table
        rows={page?.connections ?? []}
        keyOf={({ fd }) => fd}
        empty={page === null ? 'Looking …' : 'No connection is open that fits.'}
        columns={columns}
      />
      <div class="row end">
        <button type="button" disabled={starts.length < 2} onClick={() => setStarts(starts.slice(0, -1))}>
          Back
        </button>
        <button type="button" disabled={!page?.next} onClick={() => setStarts([...starts, page?.next ?? 0])}>
          Next
        </button>
      </div>
    </Panel>
  );
}

const since = (at: number): string => (at === 0 ? '–' : age(Date.now() - at));

const columns = [
  { title: 'Fd', show: ({ fd }: Connection) => fd },
  {
    title: 'Client',
    show: (one: Connection) => `${one.remoteAddress}${one.remotePort === 0 ? '' : `:${one.remotePort}`}`,
  },
  { title: 'Port', show: ({ serverPort }: Connection) => serverPort },
  { title: 'Kind', show: (one: Connection) => `${one.webSocket ? 'WebSocket' : 'stream'}${one.tls ? ', TLS' : ''}` },
  { title: 'Reactor', show: ({ reactorId }: Connection) => reactorId },
  { title: 'Worker', show: ({ workerId }: Connection) => (workerId < 0 ? '–' : workerId) },
  { title: 'Open', show: (one: Connection) => since(one.connectedAt) },
  { title: 'Silent', show: (one: Connection) => since(one.lastReceivedAt) },
  { title: 'In', isNumber: true, show: (one: Connection) => bytes(one.receivedBytes) },
  { title: 'Out', isNumber: true, show: (one: Connection) => bytes(one.sentBytes) },
  { title: 'Queued', isNumber: true, show: (one: Connection) => bytes(one.sendQueuedBytes) },
  {
    title: ' ',
    show: ({ fd, remoteAddress }: Connection) => (
      <span class="row">
        <ActButton
          label="Close"
          question={`Close connection ${fd} of ${remoteAddress} when what was sent has left?`}
          run={async () => {
            await change('closeConnection', { fd });
            return `Connection ${fd} is closed`;
          }}
        />
        <ActButton
          label="Reset"
          isDangerous
          question={`Reset connection ${fd} of ${remoteAddress} at once? What has not left is lost.`}
          run={async () => {
            await change('closeConnection', { fd, reset: true });
            return `Connection ${fd} is reset`;
          }}
        />
      </span>
    ),
  },
];
