/**
 * Waits until the condition holds, looking every few milliseconds.
 * @param what names the condition in the error
 * @throws Error when it does not hold within `deadlineMs`
 */
export async function until(
  condition: () => boolean | Promise<boolean>,
  { deadlineMs = 10_000, what = condition.toString() }: { readonly deadlineMs?: number; readonly what?: string } = {},
): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise<void>((resolve) => {
      setTimeout(resolve, 5);
    });
  }
}
