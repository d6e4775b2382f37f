/** Tasks, and durable jobs: what waits, what is dead and may run again, and what is enqueued again and again. */
import { useState } from 'preact/hooks';
import { change, read } from '../api.ts';
import { count, dateAndTime, timeOfDay } from '../format.ts';
import { ActButton, Figure, Panel, Table, useAnswer, Why } from '../parts.tsx';
import { state } from '../store.ts';
import type { DeadJob, JobSchedule, NamedJobs } from '../types.ts';

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
  const [shown, setShown] = useState<{ readonly name: string; readonly what: 'dead' | 'schedules' } | null>(null);
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
            {
              title: 'Name',
              show: ({ name, isWorked }) => (
                <>
                  <button type="button" title="Schedules" onClick={() => setShown({ name, what: 'schedules' })}>
                    {name}
                  </button>
                  {isWorked ? '' : ' (not taken here)'}
                </>
              ),
            },
            { title: 'Waiting', isNumber: true, show: ({ waiting }) => count(waiting) },
            { title: 'Delayed', isNumber: true, show: ({ delayed }) => count(delayed) },
            { title: 'Running', isNumber: true, show: (row) => count(row.running) },
            { title: 'Done', isNumber: true, show: (row) => count(row.done) },
            {
              title: 'Dead',
              isNumber: true,
              show: ({ name, dead }) => (
                <button type="button" disabled={dead === 0} onClick={() => setShown({ name, what: 'dead' })}>
                  {count(dead)}
                </button>
              ),
            },
          ]}
        />
      </Panel>
      {shown?.what === 'dead' && <Dead key={shown.name} name={shown.name} />}
      {shown?.what === 'schedules' && <Schedules key={shown.name} name={shown.name} />}
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

function Schedules({ name }: { name: string }) {
  const [page, why] = useAnswer(() => read<readonly JobSchedule[]>('jobSchedules', { name }), [name]);
  return (
    <Panel title={`Schedules: ${name}`} aside={<span class="quiet">the 50 that tick first, of all nodes</span>}>
      <Why text={why} />
      <Table
        rows={page ?? []}
        keyOf={({ key }) => key}
        empty={why === '' ? 'There are none.' : ''}
        columns={[
          { title: 'Key', show: ({ key }) => key },
          { title: 'Rule', show: ({ rule }) => ruleOf(rule) },
          { title: 'Next', show: ({ nextAt }) => dateAndTime(nextAt) },
          { title: 'Data', show: ({ data, dataStart = JSON.stringify(data) }) => <code>{dataStart}</code> },
          {
            title: '',
            show: ({ key }) => (
              <ActButton
                label="Remove"
                question={`End the schedule ${key}? Jobs that it has enqueued stay.`}
                isDangerous
                run={async () => {
                  const { unscheduled } = await change<{ unscheduled: boolean }>('unschedule', { name, key });
                  return unscheduled ? `Schedule ${key} has ended` : `Schedule ${key} had ended before`;
                }}
              />
            ),
          },
        ]}
      />
    </Panel>
  );
}

function ruleOf(rule: JobSchedule['rule']): string {
  if ('everyMs' in rule) return `every ${rule.everyMs} ms`;
  return rule.tz === undefined ? rule.cron : `${rule.cron} (${rule.tz})`;
}
