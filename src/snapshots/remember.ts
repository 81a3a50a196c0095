/** A pure function of one immutable object, computed once for each object. */
export function remember<A extends object, R>(compute: (argument: A) => R): (argument: A) => R {
  const results = new WeakMap<A, R>();
  return (argument) => {
    const known = results.get(argument);
    if (known !== undefined) return known;
    const made = compute(argument);
    results.set(argument, made);
    return made;
  };
}
