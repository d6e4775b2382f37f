import { useState } from 'preact/hooks';
import { change } from '../api.ts';
import { Chart } from '../chart.tsx';
import { age, bytes, count, duration, latency, percent } from '../format.ts';
import { ActButton, Bar, Figure, Panel } from '../parts.tsx';
import { history, mayChange, requestRates, state } from '../store.ts';
import type { Reactor, Reloaded, State, Worker } from '../types.ts';

export function Overview() {
  const now = state.value;
  if (now === null) return <p class="empty">Waiting for the first figures …</p>;
  return (
    <>
      <Figures now={now} />
      <Panel title="Processes" aside={<Actions now={now} />}>
        <ProcessTree now={now} />
      </Panel>
      <Panel title="The last fifteen minutes">
        <div class="charts">
          <Chart
            title="Requests/s"
            show={count}
            lines={[{ label: 'served', of: (p) => p.requests, colour: 'line-1' }]}
          />
          <Chart
            title="Latency"
            show={duration}
            lines={[
              { label: 'p50', of: (p) => p.p50Ms, colour: 'line-1' },
              { label: 'p99', of: (p) => p.p99Ms, colour: 'line-2' },
            ]}
          />
          <Chart
            title="Connections"
            show={count}
            lines={[{ label: 'open', of: (p) => p.connections, colour: 'line-1' }]}
          />
          <Chart
            title="Traffic/s"
            show={bytes}
            lines={[
              { label: 'in', of: (p) => p.bytesIn, colour: 'line-1' },
              { label: 'out', of: (p) => p.bytesOut, colour: 'line-2' },
            ]}
          />
          <Chart title="Workers busy" show={percent} lines={[{ label: 'mean', of: (p) => p.busy, colour: 'line-1' }]} />
          <Chart
            title="Memory"
            show={bytes}
            lines={[{ label: 'resident', of: (p) => p.memoryBytes, colour: 'line-1' }]}
          />
        </div>
      </Panel>
    </>
  );
}

function Figures({ now: { status, stats, workers } }: { now: State }) {
  const rates = history.value.at(-1);
  const still = workers.filter(({ standsStill }) => standsStill !== null).length;
  return (
    <div class="figures">
      <Figure label="state" value={status.state} tone={status.state === 'running' ? 'good' : 'bad'} />
      <Figure label="up" value={age(status.uptimeMs)} />
      <Figure label={`${status.traffic.unit}/s`} value={count(Math.round(rates?.requests ?? 0))} />
      <Figure label="p99" value={duration(rates?.p99Ms ?? 0)} />
      <Figure label="connections" value={count(stats.connectionNum)} />
      <Figure label="memory" value={bytes(rates?.memoryBytes ?? 0)} />
      <Figure
        label="callback errors"
        value={count(stats.callbackErrors)}
        tone={stats.callbackErrors > 0 ? 'bad' : ''}
      />
      {status.traffic.unit === 'requests' && (
        <Figure
          label="answered 5xx"
          value={count(stats.serverErrorCount)}
          tone={stats.serverErrorCount > 0 ? 'bad' : ''}
        />
      )}
      <Figure label="respawns" value={count(stats.workerRestarts)} />
      {still > 0 && <Figure label="hanging" value={String(still)} tone="bad" />}
    </div>
  );
}

function Actions({ now: { status, doing } }: { now: State }) {
  return (
    <div class="row">
      {doing !== null && (
        <span class="doing" role="status">
          {doing.what}: {doing.detail}
        </span>
      )}
      <ActButton
        label="Reload"
        question="Replace every worker by one that runs the script as it is now? No connection closes."
        run={async () => describeReload(await change<Reloaded>('reload'))}
      />
      {status.maxWorkerNum > 1 && (
        <>
          <ActButton
            label="+ worker"
            question={`Run ${status.workerNum + 1} workers in place of ${status.workerNum}?`}
            run={async () => `${(await change<{ workerNum: number }>('scale', { by: 1 })).workerNum} workers run`}
          />
          <ActButton
            label="− worker"
            question={`Run ${status.workerNum - 1} workers in place of ${status.workerNum}? The last one finishes its work first.`}
            run={async () => `${(await change<{ workerNum: number }>('scale', { by: -1 })).workerNum} workers run`}
          />
          <ScaleTo status={status} />
        </>
      )}
    </div>
  );
}

function describeReload({ generation, needsRestart = [] }: Reloaded): string {
  const rest = needsRestart.length === 0 ? '' : `. Only a restart applies: ${needsRestart.join(', ')}`;
  return `Reloaded: generation ${generation}${rest}`;
}

/** Any number: what does not fit is refused by the server, which says what does. */
function ScaleTo({ status: { workerNum, maxWorkerNum } }: { status: State['status'] }) {
  const [wanted, setWanted] = useState('');
  if (!mayChange.value) return null;
  return (
    <>
      <input
        type="number"
        aria-label="Number of workers"
        class="short"
        min={1}
        max={maxWorkerNum}
        placeholder={String(workerNum)}
        title={`1 to ${maxWorkerNum}: the option maxWorkerNum`}
        value={wanted}
        onInput={(event) => setWanted(event.currentTarget.value)}
      />
      <ActButton
        label="Scale"
        question={`Run ${wanted || 'how many'} workers in place of ${workerNum}? At most ${maxWorkerNum} are possible.`}
        run={async () => {
          const { workerNum: run } = await change<{ workerNum: number }>('scale', { workerNum: Number(wanted) });
          setWanted('');
          return `${run} workers run`;
        }}
      />
    </>
  );
}

function ProcessTree({ now }: { now: State }) {
  const { status, reactors, workers } = now;
  return (
    <div class="scroll">
      <table class="tree">
        <thead>
          <tr>
            {['Process', 'Pid', 'State', 'Gen', 'Up'].map((title) => (
              <th key={title} scope="col">
                {title}
              </th>
            ))}
            {['Conn', 'Req/s', 'P50', 'P99', 'Max', 'Delay', 'Loop', 'Memory', 'Respawns'].map((title) => (
              <th key={title} scope="col" class="number">
                {title}
              </th>
            ))}
            <th scope="col">
              <span class="hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          <Parent name="master" pid={status.masterPid} depth={0} note={status.listening.join(', ')} />
          {reactors.map((reactor) => (
            <ReactorRow key={`reactor ${reactor.id}`} reactor={reactor} />
          ))}
          {status.managerPid !== status.masterPid && (
            <Parent name="manager" pid={status.managerPid} depth={1} note="" />
          )}
          {workers.map((worker) => (
            <WorkerRow key={worker.id} worker={worker} depth={status.managerPid === status.masterPid ? 1 : 2} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Parent({ name, pid, depth, note }: { name: string; pid: number; depth: number; note: string }) {
  return (
    <tr>
      <th scope="row" class={`depth-${depth}`}>
        {name}
      </th>
      <td>{pid}</td>
      <td colSpan={13} class="quiet">
        {note}
      </td>
    </tr>
  );
}

function ReactorRow({ reactor }: { reactor: Reactor }) {
  return (
    <tr>
      <th scope="row" class="depth-1">
        reactor {reactor.id}
      </th>
      <td class="quiet">thread</td>
      <td colSpan={3} class="quiet">
        {bytes(reactor.bufferedBytes)} buffered
        {reactor.webSockets > 0 ? `, ${count(reactor.webSockets)} WebSockets` : ''}
      </td>
      <td class="number">{count(reactor.connections)}</td>
      <td class="number" />
      <td class="number" />
      <td class="number" />
      <td class="number" />
      <td class="number" title="99 of 100 turns of its loop were late by at most this">
        {duration(reactor.loopDelayMs)}
      </td>
      <td class="number">
        <Bar share={reactor.loopUtilisation} />
      </td>
      <td colSpan={3} />
    </tr>
  );
}

function WorkerRow({ worker, depth }: { worker: Worker; depth: number }) {
  const { id, name, role, pid, state: does, standsStill } = worker;
  return (
    <>
      <tr class={standsStill === null ? '' : 'still'} data-process={name}>
        <th scope="row" class={`depth-${depth}`}>
          {name}
        </th>
        <td data-what="pid">{pid === 0 ? '–' : pid}</td>
        <td>
          <span class={`state ${standsStill === null ? does : 'hangs'}`}>
            {standsStill === null ? does : `hangs ${age(standsStill.sinceMs)}`}
          </span>
        </td>
        <td>{worker.generation}</td>
        <td>{age(worker.uptimeMs)}</td>
        <td class="number">{role === 'task' ? `${worker.runningTasks} running` : count(worker.connections)}</td>
        <td class="number">{count(Math.round(requestRates.value.get(id) ?? 0))}</td>
        <td class="number">{latency(worker.latencyP50)}</td>
        <td class="number">{latency(worker.latencyP99)}</td>
        <td class="number" title="The longest of the last ten seconds took at most this, and at least half of it">
          {latency(worker.latencyMax)}
        </td>
        <td class="number" title="Time since its loop last turned">
          {duration(worker.loopStandsMs)}
        </td>
        <td class="number">
          <Bar share={worker.loopUtilisation} />
        </td>
        <td class="number">{bytes(worker.residentBytes)}</td>
        <td class="number">{worker.restarts}</td>
        <td>
          {role !== 'user' && (
            <span class="row">
              <ActButton
                label="Replace"
                question={`Replace ${name} (pid ${pid}) without a gap? Its successor boots first.`}
                run={async () => {
                  await change('stopWorker', { workerId: id });
                  return `${name} is being replaced`;
                }}
              />
              {standsStill !== null && (
                <ActButton
                  label="Kill"
                  isDangerous
                  question={`Kill ${name} (pid ${pid})? What it is handling is lost; another one takes its place.`}
                  run={async () => {
                    await change('stopWorker', { workerId: id, force: true });
                    return `${name} is killed`;
                  }}
                />
              )}
            </span>
          )}
        </td>
      </tr>
      {standsStill !== null && (
        <tr class="still">
          <td colSpan={15}>
            <pre class="stack">
              {standsStill.stack ||
                'Its stack is not known yet. It is taken after a while where workerTimeoutMs is set, and stands in the log too.'}
            </pre>
          </td>
        </tr>
      )}
    </>
  );
}
