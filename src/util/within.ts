/**
 * @param isIdle the wait alone does not keep the process alive
 * @returns undefined: the promise has not settled within the time
 */
export async function within<T>(promise: Promise<T>, ms: number, isIdle = false): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, ms, undefined);
    if (isIdle) timer.unref();
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
