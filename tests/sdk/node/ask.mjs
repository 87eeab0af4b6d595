// ask.mjs BASE_URL KEY_FILE REQUEST - as ../python/ask.py, through the official Node SDK.
import { readFileSync } from "node:fs";
import OpenAI from "openai";

const [baseURL, keyFile, text] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: readFileSync(keyFile, "utf8").trim() });

const kinds = {
  async images(rest) {
    return { urls: (await client.images.generate({ ...rest, response_format: "url" })).data.map((p) => p.url) };
  },
  async edit({ image: file, ...rest }) {
    const image = await OpenAI.toFile(readFileSync(file), "a.png", { type: "image/png" });
    return { urls: (await client.images.edit({ ...rest, image, response_format: "url" })).data.map((p) => p.url) };
  },
  async stream(rest) {
    const urls = [];
    for await (const event of await client.images.generate({ ...rest, stream: true })) {
      if (event.type.endsWith(".completed")) urls.push(event.url);
    }
    return { urls };
  },
  async chat({ model, prompt }) {
    const answer = await client.chat.completions.create({ model, messages: [{ role: "user", content: prompt }] });
    return { urls: answer.choices[0].message.images.map((i) => i.image_url.url) };
  },
  async task(rest) {
    return { task_id: (await client.post("/tasks", { body: rest })).id };
  },
};

async function task(id) {
  for (;;) {
    const found = await client.get(`/tasks/${id}`);
    if (found.ended) return { status: found.status, urls: found.images.map((p) => p.url), error: found.error };
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

let said;
try {
  const { kind, ...rest } = JSON.parse(text);
  said = await kinds[kind](rest);
} catch (error) {
  if (!(error instanceof OpenAI.APIError)) throw error;
  said = error instanceof OpenAI.APIConnectionError ? { error: error.constructor.name }
    : { error: error.code, status: error.status, task_id: error.error.task_id };
}
if (said.task_id) said.task = await task(said.task_id);
console.log(JSON.stringify(said));
