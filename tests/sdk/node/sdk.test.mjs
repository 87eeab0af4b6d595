// The official Node SDK, unchanged, against the deployment at BASE_URL.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import OpenAI, { toFile } from "openai";

const base = process.env.BASE_URL;
const apiKey = process.env.API_KEY || readFileSync(process.env.API_KEY_FILE, "utf8").trim();
const sim = process.env.SIM_URL;
const prompt = "一只可爱的熊猫";
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey });

const PNG = Buffer.from("89504e470d0a1a0a", "hex");
const isPng = (bytes) => PNG.equals(Buffer.from(bytes).subarray(0, 8));

// Other tests use the same simulator at the same time: a prompt of its own tells a test's requests apart.
let serial = 0;
const ownPrompt = () => `${prompt} ${process.pid}-${++serial}`;
async function callsFor(text) {
  const records = await (await fetch(`${sim}/_sim/requests`)).json();
  return records.filter((r) => r.kind === "generate" && r.body?.prompt === text);
}

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("an error was expected");
}

before(() => assert.ok(base && sim, "BASE_URL and SIM_URL are needed"));
after(() => fetch(`${sim}/_sim/faults`, { method: "DELETE" }));

test("images.generate by url", async () => {
  const answer = await client.images.generate({ model: "relay-url", prompt, response_format: "url" });
  assert.equal(answer.data[0].b64_json, undefined);
  const picture = await fetch(answer.data[0].url);
  assert.equal(picture.status, 200);
  assert.equal(picture.headers.get("content-type"), "image/png");
  assert.ok(isPng(await picture.arrayBuffer()));
  assert.match(answer._request_id, /^req_/);
});

for (const model of ["gpt-image-1", "dall-e-3", "relay-data-url"]) {
  test(`images.generate by b64_json, ${model}`, async () => {
    const answer = await client.images.generate({ model, prompt, response_format: "b64_json" });
    assert.equal(answer.data[0].url, undefined);
    assert.ok(isPng(Buffer.from(answer.data[0].b64_json, "base64")));
  });
}

test("images.generate with everything", async () => {
  const answer = await client.images.generate({
    model: "gpt-image-1", prompt, n: 2, size: "1536x1024", quality: "low", background: "transparent",
    moderation: "low", output_format: "webp", output_compression: 80, user: "someone", seed: 7,
  });
  assert.equal(answer.data.length, 2);
  assert.equal(answer.output_format, "webp");
  assert.equal(answer.size, "1536x1024");
  assert.equal(answer.usage.total_tokens, answer.usage.input_tokens + answer.usage.output_tokens);
  for (const item of answer.data) {
    assert.equal(Buffer.from(item.b64_json, "base64").subarray(8, 12).toString(), "WEBP");
  }
});

// A picture of the gateway's own making, to start from.
async function picture() {
  const answer = await client.images.generate({ model: "gpt-image-1", prompt });
  return bare(Buffer.from(answer.data[0].b64_json, "base64"));
}

// A PNG without what only speaks about it: that does not go on to a provider.
function bare(png) {
  const kept = [png.subarray(0, 8)];
  for (let at = 8, size; at < png.length; at += size) {
    size = 12 + png.readUInt32BE(at);
    if (["IHDR", "PLTE", "IDAT", "IEND"].includes(png.toString("latin1", at + 4, at + 8))) {
      kept.push(png.subarray(at, at + size));
    }
  }
  return Buffer.concat(kept);
}

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

// The parts that the provider was sent for this prompt, by the only call there was.
async function partsFor(text) {
  const records = await (await fetch(`${sim}/_sim/requests`)).json();
  const found = records.filter((r) => r.kind === "edit" && r.body?.some?.((p) => p.name === "prompt" && p.value === text));
  assert.equal(found.length, 1);
  return found[0].body;
}

const files = (parts) => parts.filter((p) => p.filename).map((p) => [p.name, p.filename, p.type, p.sha256]);

test("images.edit with one picture", async () => {
  const [bytes, text] = [await picture(), ownPrompt()];
  const image = await toFile(bytes, "panda.png", { type: "image/png" });
  const answer = await client.images.edit({ model: "gpt-image-1", image, prompt: text });
  assert.ok(isPng(Buffer.from(answer.data[0].b64_json, "base64")));
  assert.match(answer._request_id, /^req_/);
  assert.deepEqual(files(await partsFor(text)), [["image", "image-1.png", "image/png", sha256(bytes)]]);
});

test("images.edit with bytes that have no name and no type", async () => {
  const [bytes, text] = [await picture(), ownPrompt()];
  const image = new File([bytes], "upload");
  const answer = await client.images.edit({ image, model: "gpt-image-1", prompt: text });
  assert.ok(answer.data[0].b64_json);
  assert.deepEqual(files(await partsFor(text)), [["image", "image-1.png", "image/png", sha256(bytes)]]);
});

test("images.edit with a list, a mask and everything", async () => {
  const [one, two, text] = [await picture(), await picture(), ownPrompt()];
  const answer = await client.images.edit({
    image: [await toFile(one, "a.png"), await toFile(two, "b.png")], mask: await toFile(one, "mask.png"),
    model: "gpt-image-1", prompt: text, n: 2, size: "1536x1024", quality: "low", input_fidelity: "high",
    output_format: "webp", output_compression: 80, user: "someone",
  });
  assert.equal(answer.data.length, 2);
  for (const item of answer.data) {
    assert.equal(Buffer.from(item.b64_json, "base64").subarray(8, 12).toString(), "WEBP");
  }
  const parts = await partsFor(text);
  assert.deepEqual(files(parts).map((p) => [p[0], p[3]]),
    [["image[]", sha256(one)], ["image[]", sha256(two)], ["mask", sha256(one)]]);
  assert.equal(parts.find((p) => p.name === "n").value, "2");
  assert.equal(parts.find((p) => p.name === "input_fidelity").value, "high");
});

test("images.edit with what is no picture is a BadRequestError", async () => {
  const image = await toFile(Buffer.from("GIF89a, not a picture that is taken"), "a.png", { type: "image/png" });
  const error = await failure(client.images.edit({ model: "gpt-image-1", image, prompt }));
  assert.ok(error instanceof OpenAI.BadRequestError);
  assert.equal(error.code, "invalid_value");
  assert.equal(error.param, "image");
});

test("a prompt in Chinese arrives intact", async () => {
  const text = ownPrompt();
  await client.images.generate({ model: "gpt-image-1", prompt: text });
  assert.equal((await callsFor(text)).length, 1);
});

test("client.post(\"/images/generations\")", async () => {
  const answer = await client.post("/images/generations", { body: { model: "relay-url", prompt } });
  assert.match(answer.data[0].url, /^http/);
});

test("headers can be read", async () => {
  const { response } = await client.images.generate({ model: "gpt-image-1", prompt, style: "vivid" }).withResponse();
  assert.equal(response.headers.get("x-easel-model"), "gpt-image-1");
  assert.match(response.headers.get("x-easel-params"), /style=dropped/);
  assert.match(response.headers.get("server-timing"), /auth;dur=/);
});

// Node's fetch asks for no preflight as a browser's would: it is asked for here.
test("a preflight allows every header the SDK sends", async () => {
  let sent;
  const spy = new OpenAI({
    baseURL: `${base}/v1`, apiKey, organization: "org-x", project: "proj_x", dangerouslyAllowBrowser: true,
    fetch: (url, init) => {
      sent = [...new Headers(init.headers).keys()];
      return fetch(url, init);
    },
  });
  await spy.images.generate({ model: "relay-url", prompt }, { idempotencyKey: "preflight", timeout: 20_000 });
  const safe = ["accept", "content-length", "user-agent"];
  const asked = sent.filter((name) => !safe.includes(name)).sort();
  for (const name of ["authorization", "content-type", "openai-organization", "openai-project", "x-stainless-lang",
    "x-stainless-retry-count", "x-stainless-timeout"]) {
    assert.ok(asked.includes(name), `${name} is sent: ${asked}`);
  }
  const answer = await fetch(`${base}/v1/images/generations`, {
    method: "OPTIONS",
    headers: { Origin: "https://app.example", "Access-Control-Request-Method": "POST",
      "Access-Control-Request-Headers": asked.join(",") },
  });
  assert.equal(answer.status, 204);
  const allowed = answer.headers.get("access-control-allow-headers").toLowerCase().split(/, */);
  for (const name of asked) assert.ok(allowed.includes(name), `${name} is allowed`);
});

test("models.list", async () => {
  const ids = [];
  for await (const model of client.models.list()) {
    assert.equal(model.object, "model");
    ids.push(model.id);
  }
  assert.ok(ids.includes("Qwen/Qwen-Image") && ids.includes("gpt-image-1"));
});

for (const model of ["Qwen/Qwen-Image", "gpt-image-1"]) {
  test(`models.retrieve("${model}")`, async () => {
    assert.equal((await client.models.retrieve(model)).id, model);
  });
}

// name, class, status, code, param, upstream calls, what is asked
const ERRORS = [
  ["n above ten", OpenAI.BadRequestError, 400, "integer_above_max_value", "n", 0, { n: 11 }],
  ["a chat model", OpenAI.BadRequestError, 400, "model_not_image", "model", 0, { model: "gpt-4o-mini" }],
  ["content policy", OpenAI.BadRequestError, 400, "upstream_content_policy", null, 1,
    { model: "gpt-image-1@code=moderation_blocked" }],
  ["an unknown model", OpenAI.NotFoundError, 404, "model_not_found", "model", 0, { model: "gpt-imgae-1" }],
  ["the provider's 401", OpenAI.InternalServerError, 502, "upstream_auth_failed", null, 1,
    { model: "gpt-image-1@status=401" }],
  ["the provider's 500", OpenAI.InternalServerError, 502, "upstream_failed", null, 1,
    { model: "gpt-image-1@status=500" }],
  ["an answer that is cut", OpenAI.InternalServerError, 502, "upstream_truncated", null, 1,
    { model: "gpt-image-1@truncate" }],
  ["no quota left", OpenAI.InternalServerError, 502, "upstream_quota_exhausted", null, 1,
    { model: "gpt-image-1@code=insufficient_quota" }],
];

for (const [name, kind, status, code, param, calls, asked] of ERRORS) {
  test(`error: ${name}`, async () => {
    const text = ownPrompt();
    const error = await failure(client.images.generate({ model: "gpt-image-1", prompt: text, ...asked }));
    assert.equal(error.constructor, kind);
    assert.equal(error.status, status);
    assert.equal(error.code, code);
    assert.equal(error.param, param);
    assert.match(error.requestID, /^req_/);
    assert.equal(error.error.request_id, error.requestID);
    assert.ok(error.message.includes(error.error.message));
    assert.equal((await callsFor(text)).length, calls, "nothing is bought twice");
  });
}

test("error: the provider's 429 is retried", async () => {
  const text = ownPrompt();
  const error = await failure(client.images.generate({ model: "gpt-image-1@status=429", prompt: text }));
  assert.ok(error instanceof OpenAI.RateLimitError);
  assert.equal(error.code, "upstream_rate_limited");
  assert.equal((await callsFor(text)).length, 9); // three attempts of each of the three requests
});

test("error: an unknown key", async () => {
  const stranger = new OpenAI({ baseURL: `${base}/v1`, apiKey: `sk-easel-${"A".repeat(43)}` });
  const error = await failure(stranger.images.generate({ prompt }));
  assert.ok(error instanceof OpenAI.AuthenticationError);
  assert.equal(error.code, "invalid_api_key");
  assert.equal(error.error.cause, "unknown_key");
});

test("error: a key without the scope", async () => {
  const atRoot = new OpenAI({ baseURL: base, apiKey });
  const error = await failure(atRoot.get("/metrics"));
  assert.ok(error instanceof OpenAI.PermissionDeniedError);
  assert.equal(error.code, "insufficient_scope");
});

test("error: 405", async () => {
  const error = await failure(client.get("/images/generations"));
  assert.ok(error instanceof OpenAI.APIError);
  assert.equal(error.status, 405);
  assert.equal(error.code, "method_not_allowed");
  assert.equal(error.headers.get("allow"), "POST");
});

test("error: 413", async () => {
  const error = await failure(client.images.generate({ prompt: "x".repeat(40 * 1024 * 1024) }));
  assert.ok(error instanceof OpenAI.APIError);
  assert.equal(error.status, 413);
  assert.equal(error.code, "body_too_large");
});

for (const path of ["/v1", "/v1/", "", "/", "//v1", "/v1//", "/v1/v1"]) {
  test(`base URL ending in "${path}"`, async () => {
    const other = new OpenAI({ baseURL: base + path, apiKey });
    assert.equal((await other.models.retrieve("Qwen/Qwen-Image")).id, "Qwen/Qwen-Image");
    assert.match((await other.images.generate({ model: "relay-url", prompt })).data[0].url, /^http/);
  });
}

test("a base URL that is an endpoint says what was meant", async () => {
  const other = new OpenAI({ baseURL: `${base}/v1/images/generations`, apiKey });
  const error = await failure(other.images.generate({ prompt }));
  assert.ok(error instanceof OpenAI.NotFoundError);
  assert.match(error.error.hint.text, /\/v1\/images\/generations/);
});

// ---- chat ----

const messages = [{ role: "user", content: prompt }];

async function isPictureAt(url) {
  assert.ok(url.startsWith(`${base}/files/`), url);
  assert.ok(isPng(await (await fetch(url)).arrayBuffer()));
}

test("chat.completions.create makes a picture with an image model", async () => {
  const answer = await client.chat.completions.create({ model: "gpt-image-1", messages, n: 2 });
  const { message, finish_reason } = answer.choices[0];
  assert.equal(finish_reason, "stop");
  assert.equal(message.images.length, 2);
  assert.equal(message.content, message.images.map((i) => `![image](${i.image_url.url})`).join("\n\n"));
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  assert.match(answer._request_id, /^req_/);
  for (const image of message.images) await isPictureAt(image.image_url.url);
});

test("chat.completions.create streams a picture", async () => {
  const stream = await client.chat.completions.create({
    model: "gpt-image-1", messages, stream: true, stream_options: { include_usage: true },
  });
  let content = "", usage = null;
  const images = [];
  for await (const chunk of stream) {
    content += chunk.choices[0]?.delta.content ?? "";
    images.push(...(chunk.choices[0]?.delta.images ?? []));
    usage = chunk.usage ?? usage;
  }
  assert.equal(content, `![image](${images[0].image_url.url})`);
  assert.ok(usage.total_tokens > 0);
  await isPictureAt(images[0].image_url.url);
});

test("the stream helper's final message keeps the pictures", async () => {
  const message = await client.chat.completions.stream({ model: "gpt-image-1", messages }).finalMessage();
  assert.equal(message.role, "assistant");
  assert.equal(message.content, `![image](${message.images[0].image_url.url})`);
});

test("chat.completions.create with a model that writes, plain and streamed", async () => {
  const plain = await client.chat.completions.create({ model: "gpt-4o-mini", messages, temperature: 0.1 });
  assert.match(plain.choices[0].message.content, /^A lighthouse/);
  let content = "";
  for await (const chunk of await client.chat.completions.create({ model: "gpt-4o-mini", messages, stream: true })) {
    content += chunk.choices[0]?.delta.content ?? "";
  }
  assert.equal(content, plain.choices[0].message.content);
});

for (const stream of [false, true]) {
  test(`chat's errors are the SDK's, ${stream ? "streamed" : "plain"}`, async () => {
    const error = await failure(client.chat.completions.create({ model: "gpt-4o-mini@status=401", messages, stream }));
    assert.ok(error instanceof OpenAI.InternalServerError);
    assert.equal(error.code, "upstream_auth_failed");
  });
}

test("a stream that breaks off raises", async () => {
  const stream = await client.chat.completions.create({
    model: "gpt-4o-mini@truncate-chunked,after=0.5", messages, stream: true,
  });
  const error = await failure((async () => { for await (const _ of stream); })());
  assert.ok(error instanceof OpenAI.APIError, error);
  assert.equal(error.code, "upstream_truncated");
});
