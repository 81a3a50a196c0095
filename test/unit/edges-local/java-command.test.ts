import { describe, expect, it } from "vitest";
import { javaCommand } from "../../../src/edges/local/java-command.ts";

const token = "a-token-that-nobody-may-read";
const input = {
  uid: "11111111-2222-4333-8444-555555555555",
  folder: "/state",
  ownFolder: "/state/drivers/x",
  address: { host: "127.77.0.9", port: 15_002 },
  token,
  profile: {
    sparkVersion: "4.1.0",
    driverMemory: "1g",
    driverCores: 3,
    sparkConf: {
      "spark.sql.shuffle.partitions": "7",
      "spark.connect.grpc.binding.address": "0.0.0.0",
      "spark.connect.grpc.binding.port": "1",
      "spark.connect.authenticate.token": "mine",
      "spark.master": "local[99]",
    },
    allowTokenless: false,
  },
  installation: { sparkHome: "/spark", python: "/python", extraJars: ["/connect.jar"] },
};

describe("the command that starts a driver", () => {
  const { args, env } = javaCommand(input);
  const conf = (name: string) => args.filter((arg) => arg.startsWith(`${name}=`)).map((arg) => arg.split("=")[1]);

  it("hands the token over in the environment and nowhere else", () => {
    expect(env["SPARK_CONNECT_AUTHENTICATE_TOKEN"]).toBe(token);
    expect(args.join(" ")).not.toContain(token);
  });

  it("inherits nothing of our environment", () => {
    process.env["GATEHOUSE_TEST_SECRET"] = "leak";
    expect(Object.keys(javaCommand(input).env)).not.toContain("GATEHOUSE_TEST_SECRET");
    delete process.env["GATEHOUSE_TEST_SECRET"];
  });

  it("lets a profile change Spark's settings, but not where the driver listens or what it asks for", () => {
    expect(conf("spark.sql.shuffle.partitions")).toEqual(["7"]);
    expect(conf("spark.connect.grpc.binding.address")).toEqual(["127.77.0.9"]);
    expect(conf("spark.connect.grpc.binding.port")).toEqual(["15002"]);
    expect(conf("spark.connect.authenticate.token")).toEqual([]);
    expect(conf("spark.master")).toEqual(["local[3]"]);
  });

  it("names the driver, so that its process can be found after a crash", () => {
    expect(args).toContain(`-Dgatehouse.uid=${input.uid}`);
    expect(args).toContain("-Dgatehouse.folder=/state");
  });

  it("has extra jars on the class path, and no token where the driver takes none", () => {
    expect(args[args.indexOf("-cp") + 1]).toBe("/spark/jars/*:/connect.jar");
    expect(Object.keys(javaCommand({ ...input, token: undefined }).env)).not.toContain(
      "SPARK_CONNECT_AUTHENTICATE_TOKEN",
    );
  });
});
