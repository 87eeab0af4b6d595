// Streams of pictures through the official Node SDK, unchanged, against the deployment at BASE_URL.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, test } from "node:test";
import OpenAI from "openai";

const base = process.env.BASE_URL;
const apiKey = process.env.API_KEY || readFileSync(process.env.API_KEY_FILE, "utf8").trim();
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey, maxRetries: 0 });
const prompt = "一只可爱的熊猫";
const PNG = Buffer.from("89504e470d0a1a0a", "hex");

before(() => assert.ok(base, "BASE_URL is needed"));

async function collect(stream) {
  const events = [];
  try {
    for await (const event of stream) events.push(event);
  } catch (error) {
    return { events, error };
  }
  return { events };
}

const bytes = (event) => Buffer.from(event.b64_json, "base64");

test("images.generate({ stream: true, partial_images: 2 })", async () => {
  const { events, error } = await collect(
    await client.images.generate({ model: "gpt-image-1", prompt, stream: true, partial_images: 2 }));
  assert.equal(error, undefined);
  assert.deepEqual(events.map((e) => e.type), ["image_generation.partial_image", "image_generation.partial_image",
    "image_generation.completed"]);
  assert.deepEqual(events.map((e) => e.partial_image_index), [0, 1, undefined]);
  for (const event of events) {
    assert.ok(PNG.equals(bytes(event).subarray(0, 8)));
    assert.equal(event.size, "1024x1024");
    assert.equal(event.output_format, "png");
    assert.equal(typeof event.created_at, "number");
  }
  const last = events.at(-1);
  assert.equal(last.usage.total_tokens, last.usage.input_tokens + last.usage.output_tokens);
  assert.equal(last.easel.model, "gpt-image-1");
  const stored = await fetch(last.url);
  assert.ok(bytes(last).equals(Buffer.from(await stored.arrayBuffer())));
});

for (const model of ["dall-e-3", "relay-data-url", "Qwen/Qwen-Image"]) {
  test(`a provider that cannot stream: ${model}`, async () => {
    const { events, error } = await collect(
      await client.images.generate({ model, prompt, n: 2, stream: true, partial_images: 1 }));
    assert.equal(error, undefined);
    assert.deepEqual(events.map((e) => e.type), Array(2).fill("image_generation.completed"));
  });
}

test("images.edit({ stream: true, partial_images: 1 })", async () => {
  const made = await client.images.generate({ model: "gpt-image-1", prompt, response_format: "b64_json" });
  const image = await OpenAI.toFile(Buffer.from(made.data[0].b64_json, "base64"), "a.png", { type: "image/png" });
  const { events, error } = await collect(
    await client.images.edit({ model: "gpt-image-1", prompt, image, stream: true, partial_images: 1 }));
  assert.equal(error, undefined);
  assert.deepEqual(events.map((e) => e.type), ["image_edit.partial_image", "image_edit.completed"]);
  assert.ok(PNG.equals(bytes(events[1]).subarray(0, 8)));
});

test("what fails at once is an exception with its status", async () => {
  await assert.rejects(client.images.generate({ model: "gpt-image-1@code=moderation_blocked", prompt, stream: true }),
    (error) => error instanceof OpenAI.BadRequestError && error.code === "upstream_content_policy");
});

for (const [fault, code] of [["sse-error", "upstream_failed"], ["sse-cut", "upstream_truncated"]]) {
  test(`what fails later is an exception in the loop: ${fault}`, async () => {
    const { events, error } = await collect(
      await client.images.generate({ model: `gpt-image-1@${fault}`, prompt, stream: true, partial_images: 1 }));
    assert.deepEqual(events.map((e) => e.type), ["image_generation.partial_image"]);
    assert.ok(error instanceof OpenAI.APIError, String(error));
    assert.equal(error.code, code);
  });
}

test("a stream may be left early", async () => {
  const stream = await client.images.generate(
    { model: "gpt-image-1@gap=0.5", prompt, stream: true, partial_images: 1 });
  for await (const event of stream) {
    assert.equal(event.type, "image_generation.partial_image");
    break;
  }
  assert.ok(stream.controller.signal.aborted);
});
