import type { Command } from 'commander';
import type { RoomReport } from '../../control/controlled.js';
import { integerBetween } from '../number.js';
import { ask } from '../servers.js';
import { choiceOf, type TargetFlags, withTarget } from '../target.js';
import { print, printJson, table, visible } from '../terminal.js';

export function addRooms(program: Command): void {
  withTarget(program.command('rooms'))
    .summary('rooms of WebSockets, those with the most members first')
    .argument('[server]', 'name or pid')
    .option('-n, --count <number>', 'how many', integerBetween(1, 10_000), 50)
    .option('--json', 'for programs: {total, rooms}')
    .action(async (server: string | undefined, { json, count, ...flags }: TargetFlags & RoomFlags) => {
      const report = await ask(choiceOf(flags, server), ({ call }) => call<RoomReport>('rooms', { count }));
      if (json === true) return printJson(report);
      print(describeRooms(report));
    });

  withTarget(program.command('publish'))
    .summary('send a text to all WebSockets in a room')
    .argument('<room>', 'see "tswoole rooms"')
    .argument('<text>', 'sent as it is')
    .argument('[server]', 'its name or pid, where several run')
    .action(async (room: string, text: string, server: string | undefined, flags: TargetFlags) => {
      const { members } = await ask(choiceOf(flags, server), ({ call }) =>
        call<{ members: number }>('publish', { room, text }),
      );
      print(`Published to ${visible(room)}: ${members} ${members === 1 ? 'member' : 'members'}.`);
    });
}

interface RoomFlags {
  readonly json?: boolean;
  readonly count: number;
}

export function describeRooms({ rooms, total }: RoomReport): string {
  if (rooms.length === 0) return 'Nobody is in a room.';
  const text = table(
    ['ROOM', 'MEMBERS'],
    rooms.map(({ name, members }) => [visible(name), members]),
  );
  const more = total.rooms - rooms.length;
  return more > 0 ? `${text}\n${more} more, ${total.members} members in all: --count` : text;
}
