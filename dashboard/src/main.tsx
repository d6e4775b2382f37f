/** The page: log-in, navigation, and the view that the address names. */
import { render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { logIn, logOut, Refused } from './api.ts';
import { connect, link, notice, session, state, view } from './store.ts';
import './style.css';
import { Connections } from './views/connections.tsx';
import { Log } from './views/log.tsx';
import { Ends, Nodes, Objects, Rooms, Settings } from './views/others.tsx';
import { Overview } from './views/overview.tsx';
import { Profile } from './views/profile.tsx';
import { Tasks } from './views/tasks.tsx';

const views = {
  overview: ['Overview', Overview],
  connections: ['Connections', Connections],
  tasks: ['Tasks', Tasks],
  rooms: ['Rooms', Rooms],
  objects: ['Shared', Objects],
  log: ['Log', Log],
  ends: ['Ends', Ends],
  profile: ['Profile', Profile],
  nodes: ['Nodes', Nodes],
  settings: ['Settings', Settings],
} as const;
const names = Object.keys(views) as (keyof typeof views)[];
const NOTICE_MS = 8000;

function App() {
  if (session.value === null)
    return <main class="centre quiet">{link.value === 'lost' ? 'The server does not answer …' : ''}</main>;
  return session.value.loggedIn ? <Page /> : <LogIn />;
}

function Page() {
  useEffect(() => {
    addEventListener('keydown', jump);
    return () => removeEventListener('keydown', jump);
  }, []);
  const name = names.find((one) => one === view.value) ?? 'overview';
  const [, View] = views[name];
  const { status, stats } = state.value ?? {};
  const isLost = link.value === 'lost';
  return (
    <>
      <header class="top">
        <a class="brand" href="#/overview">
          {status?.name ?? session.value?.name}
        </a>
        <span class={`state ${status?.state === 'running' && !isLost ? 'idle' : 'hangs'}`}>
          {isLost ? 'not connected' : (status?.state ?? '…')}
        </span>
        <span class="quiet wide-only">
          {status && `tswoole ${status.version}, Node ${status.node}, ${status.mode} mode`}
        </span>
        <span class="gap" />
        <ThemeSwitch />
        {session.value?.needsLogin && (
          <button type="button" onClick={() => void logOut().finally(connect)}>
            Log out
          </button>
        )}
      </header>
      <nav aria-label="Views">
        {names.map((one, index) => (
          <a
            key={one}
            href={`#/${one}`}
            aria-current={one === name ? 'page' : undefined}
            title={`Alt+${(index + 1) % 10}`}
          >
            {views[one][0]}
          </a>
        ))}
      </nav>
      {isLost && (
        <p class="banner bad" role="alert">
          Not connected: these figures are the last known. Trying again …
        </p>
      )}
      {status?.crashLoops.map(({ name: process, failures, reason }) => (
        <p key={process} class="banner bad" role="alert">
          {`${process} has ended ${failures} times in a row: ${reason}`}
        </p>
      ))}
      {stats !== undefined && stats.pausedReactorNum > 0 && (
        <p class="banner bad" role="alert">
          {`${stats.pausedReactorNum} reactors read no client: maxBufferedBytes is reached`}
        </p>
      )}
      <Notice />
      <main>
        <View />
      </main>
    </>
  );
}

/** Alt and a digit opens a view. */
function jump(event: KeyboardEvent): void {
  if (!event.altKey || !/^Digit\d$/.test(event.code)) return;
  const name = names[(Number(event.code.slice(5)) + 9) % 10];
  if (name === undefined) return;
  event.preventDefault();
  location.hash = `#/${name}`;
}

function Notice() {
  const now = notice.value;
  useEffect(() => {
    if (now?.kind !== 'done') return;
    const timer = setTimeout(() => {
      notice.value = null;
    }, NOTICE_MS);
    return () => clearTimeout(timer);
  }, [now]);
  if (now === null) return null;
  return (
    <p class={`banner ${now.kind === 'done' ? 'good' : 'bad'}`} role="status">
      {now.text}
      <button
        type="button"
        aria-label="Dismiss"
        onClick={() => {
          notice.value = null;
        }}
      >
        ×
      </button>
    </p>
  );
}

const themes = ['auto', 'light', 'dark'] as const;

/** Where the browser allows no storage, the choice lasts as long as the page. */
function keptTheme(): string {
  try {
    return localStorage.getItem('theme') ?? 'auto';
  } catch {
    return 'auto';
  }
}

function keepTheme(theme: string): void {
  try {
    localStorage.setItem('theme', theme);
  } catch {
    // as above
  }
}

function ThemeSwitch() {
  const [theme, setTheme] = useState(keptTheme);
  useEffect(() => {
    document.documentElement.dataset['theme'] = theme;
    keepTheme(theme);
  }, [theme]);
  return (
    <select aria-label="Colours" value={theme} onChange={(event) => setTheme(event.currentTarget.value)}>
      {themes.map((one) => (
        <option key={one} value={one}>
          {one}
        </option>
      ))}
    </select>
  );
}

function LogIn() {
  const [why, setWhy] = useState('');
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const token = new FormData(event.currentTarget as HTMLFormElement).get('token');
    try {
      await logIn(String(token));
      await connect();
    } catch (error) {
      setWhy(error instanceof Refused ? error.message : String(error));
    }
  };
  return (
    <main class="centre">
      <form class="panel" onSubmit={(event) => void submit(event)}>
        <h1>tswoole</h1>
        <label>
          Token of the option admin
          <input type="password" name="token" autocomplete="current-password" autofocus required />
        </label>
        {why !== '' && (
          <p class="bad" role="alert">
            {why}
          </p>
        )}
        <button type="submit" class="primary">
          Log in
        </button>
      </form>
    </main>
  );
}

const place = document.getElementById('app');
if (place !== null) render(<App />, place);
void connect();
