/**
 * The types of all options. In `dist` each option has its text, unit, default and Swoole's name as a docstring from the
 * same table: `scripts/option-types.mjs` regenerates the declarations of this file there.
 */
import type { GivenOf, ListenOptionName, OptionName, ResolvedOf } from './definitions.js';

/** What `new Server()` and `set()` take; docs/options.md describes each. */
export type ServerOptions = { readonly [N in OptionName]?: GivenOf<N> | undefined };
/** Every option with its value, checked and frozen. */
export type ResolvedOptions = { readonly [N in OptionName]: ResolvedOf<N> };

/** What `listen()` takes; missing options are as on the server, except `port`. */
export type ListenOptions = { readonly [N in ListenOptionName]?: GivenOf<N> | undefined };
/** Every option of a listen port with its value, checked and frozen. */
export type ResolvedListen = { readonly [N in ListenOptionName]: ResolvedOf<N> };
