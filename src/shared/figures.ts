/** What an object has to tell, read from its shared memory alone. */
export interface Figures {
  readonly bytes: number;
  readonly [name: string]: number;
}
