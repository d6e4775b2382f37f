/** Tasks, and durable jobs: what waits, and what is dead and may run again. */
import { useState } from 'preact/hooks';
import { change, read } from '../api.ts';
import { count, timeOfDay } from '../format.ts';
import { ActButton, Figure, Panel, Table, useAnswer, Why } from '../parts.tsx';
import { state } from '../store.ts';
import type { DeadJob, NamedJobs } from '../types.ts';

export function Tasks() {
  const stats = state.value?.stats;
  if (stats === undefined) return null;
  const { queued, running, done, failed, timedOut, retried, refused, submitted } = stats.tasks;
  return (
    <>
      <Panel title="Tasks">
        {stats.taskWorkerNum === 0 && <p class="empty">This server has no task workers (taskWorkerNum).</p>}
        <div class="figures">
          <Figure label="waiting" value={count(queued)} />
          <Figure label="running" value={count(running)} />
          <Figure label="done" value={count(done)} />
          <Figure label="failed" value={count(failed)} tone={failed > 0 ? 'bad' : ''} />
          <Figure label="given up" value={count(timedOut)} />
          <Figure label="retried" value={count(retried)} />
          <Figure label="refused" value={count(refused)} />
          <Figure label="submitted" value={count(submitted)} />
          <Figure label="idle task workers" value={`${stats.idleTaskWorkerNum} of ${stats.taskWorkerNum}`} />
        </div>
      </Panel>
      {stats.cluster?.jobs && <Jobs {...stats.cluster.jobs} />}
    </>
  );
}

function Jobs({ running, done, failed }: { running: number; done: number; failed: number }) {
  const [all, why] = useAnswer(() => read<readonly NamedJobs[]>('jobs'), []);
  const [name, setName] = useState('');
  return (
    <>
      <Panel
        title="Durable jobs"
        aside={
          <span class="quiet">{`this node: ${count(running)} running, ${count(done)} done, ${count(failed)} failed`}</span>
        }
      >
        <Why text={why} />
        <Table
          rows={why === '' ? (all ?? []) : []}
          keyOf={(row) => row.name}
          empty="This node takes no jobs, and has enqueued none."
          columns={[
            { title: 'Name', show: (row) => (row.isWorked ? row.name : `${row.name} (not taken here)`) },
            { title: 'Waiting', isNumber: true, show: ({ waiting }) => count(waiting) },
            { title: 'Delayed', isNumber: true, show: ({ delayed }) => count(delayed) },
            { title: 'Running', isNumber: true, show: (row) => count(row.running) },
            { title: 'Done', isNumber: true, show: (row) => count(row.done) },
            {
              title: 'Dead',
              isNumber: true,
              show: (row) => (
                <button type="button" disabled={row.dead === 0} onClick={() => setName(row.name)}>
                  {count(row.dead)}
                </button>
              ),
            },
          ]}
        />
      </Panel>
      {name !== '' && <Dead key={name} name={name} />}
    </>
  );
}

function Dead({ name }: { name: string }) {
  const [page, why] = useAnswer(() => read<readonly DeadJob[]>('deadJobs', { name }), [name]);
  return (
    <Panel title={`Dead jobs: ${name}`} aside={<span class="quiet">the newest 50, of all nodes</span>}>
      <Why text={why} />
      <Table
        rows={page ?? []}
        keyOf={({ id }) => id}
        empty={why === '' ? 'None is dead.' : ''}
        columns={[
          { title: 'Id', show: ({ id }) => id },
          { title: 'Attempts', isNumber: true, show: ({ attemptsMade }) => count(attemptsMade) },
          { title: 'Ended', show: ({ endedAt }) => (endedAt === undefined ? '' : timeOfDay(endedAt)) },
          { title: 'Reason', show: ({ reason = '' }) => reason },
          { title: 'Data', show: ({ data, dataStart = JSON.stringify(data) }) => <code>{dataStart}</code> },
          {
            title: '',
            show: ({ id }) => (
              <ActButton
                label="Retry"
                question={`Run job ${id} again, with all its attempts?`}
                run={async () => {
                  await change('retryJob', { id });
                  return `Job ${id} runs again`;
                }}
              />
            ),
          },
        ]}
      />
    </Panel>
  );
}
