/** The views that show one list each: rooms, objects, ends, nodes, settings. */
import { useState } from 'preact/hooks';
import { change, read } from '../api.ts';
import { age, count, timeOfDay } from '../format.ts';
import { ActButton, Panel, Table, useAnswer, Why } from '../parts.tsx';
import { mayChange, state } from '../store.ts';
import type { EndedProcess } from '../types.ts';

interface RoomReport {
  readonly total: { readonly rooms: number; readonly members: number };
  readonly rooms: readonly { readonly name: string; readonly members: number }[];
}

export function Rooms() {
  const [report, why] = useAnswer(() => read<RoomReport>('rooms', { count: 200 }), []);
  const [room, setRoom] = useState('');
  const [text, setText] = useState('');
  return (
    <Panel
      title="Rooms"
      aside={
        report && (
          <span class="quiet">{`${count(report.total.rooms)} rooms, ${count(report.total.members)} memberships`}</span>
        )
      }
    >
      <Why text={why} />
      {mayChange.value && why === '' && (
        <div class="row">
          <input
            aria-label="Room"
            placeholder="room"
            value={room}
            onInput={(event) => setRoom(event.currentTarget.value)}
          />
          <input
            aria-label="Text"
            class="wide"
            placeholder="text to publish"
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
          <ActButton
            label="Publish"
            question={`Send this text to all members of ${room}?`}
            run={async () =>
              `Sent to ${(await change<{ members: number }>('publish', { room, text })).members} members`
            }
          />
        </div>
      )}
      <Table
        rows={report?.rooms ?? []}
        keyOf={({ name }) => name}
        empty="No room has members."
        columns={[
          { title: 'Room', show: ({ name }) => name },
          { title: 'Members', isNumber: true, show: ({ members }) => count(members) },
        ]}
      />
    </Panel>
  );
}

interface SharedObject extends Readonly<Record<string, unknown>> {
  readonly kind: string;
  readonly name: string;
  readonly holders: readonly number[];
}

export function Objects() {
  const [report, why] = useAnswer(() => read<{ objects: readonly SharedObject[] }>('objects'), []);
  const figuresOf = ({
    kind: _kind,
    name: _name,
    holders: _holders,
    declared: _declared,
    ...figures
  }: SharedObject): string =>
    Object.entries(figures)
      .map(([name, value]) => `${name} ${typeof value === 'number' ? count(value) : String(value)}`)
      .join(', ');
  return (
    <Panel title="Shared memory">
      <Why text={why} />
      <Table
        rows={report?.objects ?? []}
        keyOf={({ kind, name }) => `${kind} ${name}`}
        empty="This server shares no tables, caches, locks or counters."
        columns={[
          { title: 'Name', show: ({ name }) => name },
          { title: 'Kind', show: ({ kind }) => kind },
          {
            title: 'Held by',
            show: ({ holders = [] }) => (holders.length === 0 ? '–' : holders.map((pid) => `pid ${pid}`).join(', ')),
          },
          { title: 'Figures', show: (one) => <span class="quiet">{figuresOf(one)}</span> },
        ]}
      />
    </Panel>
  );
}

export function Ends() {
  const newest = state.value?.ends ?? 0;
  const [report, why] = useAnswer(
    () => read<{ ends: readonly EndedProcess[] }>('ends', { count: 100 }),
    [newest],
    10_000,
  );
  return (
    <Panel title="Ends of processes" aside={<span class="quiet">the last 100</span>}>
      <Why text={why} />
      <Table
        rows={report?.ends ?? []}
        keyOf={({ number }) => number}
        empty="No process has ended."
        columns={[
          { title: 'When', show: ({ at }) => timeOfDay(at) },
          { title: 'Process', show: ({ name }) => name },
          { title: 'Pid', show: ({ pid }) => pid },
          {
            title: 'Cause',
            show: ({ cause, signal }) => <span class={`state ${isBad(cause) ? 'hangs' : ''}`}>{signal ?? cause}</span>,
          },
          { title: 'Lived', show: ({ uptimeMs }) => age(uptimeMs) },
          {
            title: 'Reason',
            show: ({ reason, code, stack }) =>
              stack === '' ? (
                reason || (code === null ? '' : `exit code ${code}`)
              ) : (
                <details>
                  <summary>{reason}</summary>
                  <pre class="stack">{stack}</pre>
                </details>
              ),
          },
        ]}
      />
    </Panel>
  );
}

const isBad = (cause: string): boolean => ['exit', 'signal', 'boot', 'hang'].includes(cause);

export function Nodes() {
  const cluster = state.value?.status.cluster;
  if (!cluster) {
    return (
      <Panel title="Nodes">
        <p class="empty">This server stands alone: it has no option cluster.</p>
      </Panel>
    );
  }
  return (
    <Panel
      title="Nodes"
      aside={<span class="quiet">{`${cluster.driver} ${cluster.engine}: ${cluster.state} ${cluster.why}`}</span>}
    >
      <div class="row">
        <ActButton
          label="Reload all nodes"
          question="Replace the workers of every node, one node after another? It stops at the first that fails."
          run={async () => {
            await change('reload', { allNodes: true });
            return 'All nodes are reloaded';
          }}
        />
      </div>
      <Table
        rows={cluster.nodes}
        keyOf={({ id }) => id}
        empty="No node is known."
        columns={[
          { title: 'Node', show: ({ id, self }) => (self ? `${id} (this one)` : id) },
          { title: 'Address', show: ({ address }) => address },
          { title: 'Version', show: ({ version }) => version },
        ]}
      />
    </Panel>
  );
}

const LEVELS = ['debug', 'info', 'warn', 'error', 'silent'];

export function Settings() {
  const [settings, why] = useAnswer(() => read<Record<string, unknown>>('settings'), [], 30_000);
  const [wanted, setWanted] = useState('');
  const status = state.value?.status;
  const rows = Object.entries(settings ?? {}).filter(([name]) => name.toLowerCase().includes(wanted.toLowerCase()));
  return (
    <>
      {mayChange.value && (
        <Panel title="Change">
          <div class="row">
            {LEVELS.filter((level) => level !== status?.logLevel).map((level) => (
              <ActButton
                key={level}
                label={`Log ${level}`}
                question={`Log "${level}" and above in every process (now: ${status?.logLevel})?`}
                run={async () => {
                  await change('logLevel', { level });
                  return `The log level is ${level}`;
                }}
              />
            ))}
            <ActButton
              label="Stop the server"
              isDangerous
              question="End the server in order? Clients are not served any more, and this page ends with it."
              run={async () => {
                await change('shutdown');
                return 'The server ends';
              }}
            />
          </div>
        </Panel>
      )}
      <Panel
        title="Options"
        aside={
          <input
            type="search"
            aria-label="Option"
            placeholder="option"
            value={wanted}
            onInput={(event) => setWanted(event.currentTarget.value)}
          />
        }
      >
        <Why text={why} />
        <Table
          rows={rows}
          keyOf={([name]) => name}
          empty="No option has that in its name."
          columns={[
            { title: 'Option', show: ([name]) => name },
            { title: 'Value', show: ([, value]) => <code>{JSON.stringify(value)}</code> },
          ]}
        />
      </Panel>
    </>
  );
}
