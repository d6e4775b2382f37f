// What every peer does: keeps `inFlight` tasks in flight for some seconds and reports how many came back.
const WARM_UP_MS = 1500;

/** @param run gives one task and resolves to its result */
export async function measureCaller(run) {
  const [kind, inFlight, seconds] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
  const text = 'x'.repeat(100);
  const data = kind === 'object' ? { id: 12345, name: 'a task', text: text.slice(0, 60), list: [1, 2, 3] } : text;
  let count = 0;
  let over = false;
  const loop = async () => {
    while (!over) {
      const result = await run(data);
      if ((result.text ?? result).length < 60) throw new Error('a wrong result');
      count++;
    }
  };
  const loops = Array.from({ length: inFlight }, loop);
  await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
  count = 0;
  console.log('measuring');
  const began = performance.now();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const roundTrips = count;
  const ms = performance.now() - began;
  console.log(JSON.stringify({ roundTrips, ms }));
  over = true;
  await Promise.all(loops);
}
