import type { Socket } from "node:net";
import { until } from "./until.ts";

/** The head of one response. */
export interface WireAnswer {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
}

/** A connection of HTTP/1.1 on which anything can be said, one character for each byte. */
export interface HttpWire {
  send(text: string): void;
  /** Half-closes. */
  end(): void;
  /** Cuts it. */
  cut(): void;
  /** All answers so far, in order; 1xx among them. An answer with a body is an error. */
  answers(): readonly WireAnswer[];
  /** The answer at that place, once it is there. @throws Error where the connection ends before */
  answer(at: number): Promise<WireAnswer>;
  /** Resolves when the server has ended the connection, or it broke. */
  readonly over: Promise<void>;
}

export function httpWire(socket: Socket): HttpWire {
  let text = "";
  let ended = false;
  socket.on("error", () => undefined);
  socket.on("data", (bytes: Buffer) => {
    text += bytes.toString("latin1");
  });
  const over = new Promise<void>((resolve) => {
    const end = (): void => {
      ended = true;
      resolve();
    };
    socket.once("end", end).once("close", end);
  });
  // A body in chunks, none of them, is no body.
  const heads = (): string[] => text.replaceAll("\r\n\r\n0\r\n\r\n", "\r\n\r\n").split("\r\n\r\n").slice(0, -1);
  const answers = (): WireAnswer[] => heads().map(parsed);
  return {
    send: (sent) => void socket.write(Buffer.from(sent, "latin1")),
    end: () => void socket.end(),
    cut: () => void socket.destroy(),
    answers,
    async answer(at) {
      await until(() => answers().length > at || ended, { what: `answer ${at}` });
      const answer = answers()[at];
      if (answer === undefined) throw new Error(`the connection ended after ${answers().length} answers`);
      return answer;
    },
    over,
  };
}

function parsed(head: string): WireAnswer {
  const [first = "", ...lines] = head.split("\r\n");
  const status = /^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1];
  if (status === undefined) throw new Error(`no answer: ${JSON.stringify(head)}`);
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
    }),
  );
  if (headers.size !== lines.length) throw new Error(`a header comes twice: ${JSON.stringify(head)}`);
  return { status: Number(status), headers };
}
