/** A word as a POSIX shell reads it back, whatever is in it; as it is where that needs no quotes. */
export const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : alwaysQuoted(word))

/** In quotes even where it needs none. */
export const alwaysQuoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`
