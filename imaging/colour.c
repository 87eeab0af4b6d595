#include "colour.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define STOPS 5

/* Five colours from dark to light and an accent, by hand: 0xRRGGBB. */
#define PALETTES(X)                                                             \
	X(BAMBOO, 0x16201c, 0x2f4a3c, 0x6f9468, 0xcfd9b8, 0xf7f3e8, 0xe2725b)   \
	X(ROSE, 0x3b0a1e, 0x7d1538, 0xc93756, 0xf08a9b, 0xfde3df, 0xf6c667)     \
	X(NIGHT, 0x0b1026, 0x22245c, 0x5b2a86, 0xc2478f, 0xffb38a, 0xffe29a)    \
	X(OCEAN, 0x06283d, 0x0f4c75, 0x2a86a8, 0x7cc6c3, 0xe6f4ea, 0xff8a5b)    \
	X(SUNSET, 0x2a1a4a, 0x6b2d5c, 0xc8553d, 0xf2a65a, 0xfdecc8, 0xfff1b8)   \
	X(FOREST, 0x0f2a1d, 0x24523b, 0x5b8a4f, 0xaec77b, 0xf1efd0, 0xe9a23b)   \
	X(SNOW, 0x1f3349, 0x4b6b8a, 0x8fb0c9, 0xcfe0ea, 0xf8fafb, 0xf0a88c)     \
	X(DESERT, 0x3a1f1a, 0x8c4a32, 0xcf8a52, 0xebc58f, 0xfbf0dc, 0x3d8b8b)   \
	X(CHERRY, 0x3d2b45, 0x8d5a83, 0xd98fb0, 0xf6c6cf, 0xfff3ee, 0x8fbf8a)   \
	X(AUTUMN, 0x2b1810, 0x6e2c18, 0xb8541f, 0xe3a33c, 0xf8e6b9, 0x8a1f2b)   \
	X(LAVENDER, 0x221d45, 0x4c4288, 0x8d7cc3, 0xc9b8e3, 0xf6effa, 0xf7c873) \
	X(AURORA, 0x071a2b, 0x0d4650, 0x1b9a86, 0x8be0a4, 0xeafbe0, 0xc07bff)   \
	X(GOLD, 0x14110f, 0x4a3b22, 0xa17d34, 0xe0bd6b, 0xfaf0d2, 0xc23b22)     \
	X(INK, 0x141518, 0x3b3e46, 0x7a7f89, 0xbfc3c9, 0xf4f4f2, 0xe4572e)      \
	X(CITRUS, 0x2d3a12, 0x6e8a1d, 0xc8c12f, 0xf7e065, 0xfffbe0, 0xf2711c)   \
	X(LAGOON, 0x0a2f35, 0x15616d, 0x6fa8a0, 0xffb997, 0xfff0e0, 0xf25c54)   \
	X(CANDY, 0x3a1c71, 0x8a4fbf, 0xd76d77, 0xffaf7b, 0xfff1dc, 0x4ec5c1)    \
	X(MINT, 0x103b3f, 0x2b7a78, 0x6fc2b0, 0xb9e6d3, 0xf4fbf6, 0xff9a76)     \
	X(BERRY, 0x2a0a2e, 0x5e1a5f, 0xa13d87, 0xe07fb1, 0xfbe1ec, 0x7ad3c8)    \
	X(DENIM, 0x101c2e, 0x27446b, 0x5a80a8, 0xa9c3d8, 0xf2f1ea, 0xe8b04a)

#define X(name, ...) name,
enum palette { PALETTES(X) PALETTE__MAX };
#undef X
#define X(name, ...) [name] = { __VA_ARGS__ },
static const uint32_t palettes[PALETTE__MAX][STOPS + 1] = { PALETTES(X) };
#undef X

#define ANY SCENE__MAX /* the words say nothing about the form */

/*
 * Words, the forms and the colours they suggest.  An English word matches whole (or with an "s"), a
 * Chinese one anywhere.  The first row that matches decides; the colours' names come last.
 */
static const struct hint {
	const char *words; /* separated by spaces */
	enum scene_kind form[2];
	enum palette palette[2];
} hints[] = {
	{ "panda bamboo 熊猫 熊貓 竹", { SCENE_DISCS, SCENE_PAPER }, { BAMBOO, FOREST } },
	{ "sakura cherry blossom spring 樱 櫻 桃花 春",
	  { SCENE_PETALS, SCENE_PETALS },
	  { CHERRY, ROSE } },
	{ "rose peony 玫瑰 牡丹", { SCENE_PETALS, SCENE_PETALS }, { ROSE, BERRY } },
	{ "flower lotus tulip dahlia petal bloom bouquet garden 花 莲 蓮",
	  { SCENE_PETALS, SCENE_PETALS },
	  { BERRY, CANDY } },
	{ "sunflower lemon banana 向日葵 柠檬", { SCENE_PETALS, SCENE_DISCS }, { CITRUS, AUTUMN } },
	{ "city skyline street building tower town cyberpunk neon robot 城 都市 街 楼 樓 霓虹",
	  { SCENE_CITY, SCENE_CITY },
	  { NIGHT, DENIM } },
	{ "aurora 极光 極光", { SCENE_SILK, SCENE_WAVES }, { AURORA, AURORA } },
	{ "sunset sunrise dawn dusk 夕阳 日落 日出 黄昏 朝霞",
	  { SCENE_HILLS, SCENE_WAVES },
	  { SUNSET, CANDY } },
	{ "snow winter ice glacier 雪 冬 冰", { SCENE_HILLS, SCENE_HILLS }, { SNOW, DENIM } },
	{ "autumn fox 秋 狐", { SCENE_HILLS, SCENE_PAPER }, { AUTUMN, DESERT } },
	{ "sea ocean wave beach water river lake boat ship fish whale 海 浪 湖 河 江 水 船 鱼 鲸",
	  { SCENE_WAVES, SCENE_WAVES },
	  { OCEAN, LAGOON } },
	{ "mountain hill valley landscape 山 谷 风景",
	  { SCENE_HILLS, SCENE_HILLS },
	  { DENIM, SUNSET } },
	{ "forest tree jungle leaf 森林 树 樹 叶", { SCENE_HILLS, SCENE_PAPER }, { FOREST, MINT } },
	{ "desert dune camel 沙漠 沙丘", { SCENE_HILLS, SCENE_WAVES }, { DESERT, SUNSET } },
	{ "space galaxy planet star moon night universe 宇宙 星 月 夜 太空",
	  { SCENE_DISCS, SCENE_HILLS },
	  { NIGHT, LAVENDER } },
	{ "dragon gold golden temple palace 龙 龍 金 宫",
	  { SCENE_SILK, SCENE_PAPER },
	  { GOLD, ROSE } },
	{ "fire flame lava volcano 火 火山", { SCENE_SILK, SCENE_PAPER }, { SUNSET, AUTUMN } },
	{ "cat dog kitten puppy bear rabbit 猫 狗 熊 兔",
	  { SCENE_DISCS, SCENE_PAPER },
	  { DESERT, LAGOON } },
	{ "portrait woman man girl boy face 人 女 男",
	  { SCENE_SILK, SCENE_DISCS },
	  { CANDY, LAVENDER } },
	{ "red 红 紅", { ANY, ANY }, { ROSE, SUNSET } },
	{ "orange 橙", { ANY, ANY }, { SUNSET, AUTUMN } },
	{ "yellow 黄 黃", { ANY, ANY }, { CITRUS, GOLD } },
	{ "green 绿 綠", { ANY, ANY }, { FOREST, MINT } },
	{ "blue 蓝 藍", { ANY, ANY }, { OCEAN, DENIM } },
	{ "purple violet lavender 紫", { ANY, ANY }, { LAVENDER, NIGHT } },
	{ "pink 粉", { ANY, ANY }, { CHERRY, BERRY } },
	{ "black white ink 黑 白 墨", { ANY, ANY }, { INK, INK } },
};

static bool
is_letter(char c)
{
	return isalpha((unsigned char)c) != 0;
}

static bool
has_word(const char *prompt, const char *word, size_t n)
{
	bool latin = is_letter(*word);

	for (const char *p = prompt; *p; p++) {
		const char *end = p + n;

		if (latin && p > prompt && is_letter(p[-1]))
			continue;
		if (strncasecmp(p, word, n) != 0)
			continue;
		if (!latin || !is_letter(end[*end == 's' || *end == 'S']))
			return true;
	}
	return false;
}

static const struct hint *
find_hint(const char *prompt)
{
	for (size_t i = 0; i < sizeof(hints) / sizeof(*hints); i++)
		for (const char *w = hints[i].words; *w;) {
			size_t n = strcspn(w, " ");

			if (has_word(prompt, w, n))
				return &hints[i];
			w += n + strspn(w + n, " ");
		}
	return NULL;
}

/* OKLab (Björn Ottosson, 2020): mixtures keep their lightness and do not turn grey. */
struct lab {
	float l, a, b;
};

static float
to_linear(float c)
{
	return c <= 0.04045f ? c / 12.92f : powf((c + 0.055f) / 1.055f, 2.4f);
}

static float
from_linear(float c)
{
	if (c <= 0)
		return 0;
	c = c <= 0.0031308f ? c * 12.92f : 1.055f * powf(c, 1 / 2.4f) - 0.055f;
	return c > 1 ? 255 : c * 255;
}

static struct lab
lab_of(uint32_t hex)
{
	float r = to_linear((float)(hex >> 16 & 255) / 255);
	float g = to_linear((float)(hex >> 8 & 255) / 255);
	float b = to_linear((float)(hex & 255) / 255);
	float l = cbrtf(0.4122214708f * r + 0.5363325363f * g + 0.0514459929f * b);
	float m = cbrtf(0.2119034982f * r + 0.6806995451f * g + 0.1073969566f * b);
	float s = cbrtf(0.0883024619f * r + 0.2817188376f * g + 0.6299787005f * b);

	return (struct lab){ 0.2104542553f * l + 0.7936177850f * m - 0.0040720468f * s,
			     1.9779984951f * l - 2.4285922050f * m + 0.4505937099f * s,
			     0.0259040371f * l + 0.7827717662f * m - 0.8086757660f * s };
}

static struct rgb
rgb_of(struct lab c)
{
	float l = c.l + 0.3963377774f * c.a + 0.2158037573f * c.b;
	float m = c.l - 0.1055613458f * c.a - 0.0638541728f * c.b;
	float s = c.l - 0.0894841775f * c.a - 1.2914855480f * c.b;

	l = l * l * l;
	m = m * m * m;
	s = s * s * s;
	return (struct rgb){
		from_linear(4.0767416621f * l - 3.3077115913f * m + 0.2309699292f * s),
		from_linear(-1.2684380046f * l + 2.6097574011f * m - 0.3413193965f * s),
		from_linear(-0.0041960863f * l - 0.7034186147f * m + 1.7076147010f * s)
	};
}

/* Turns the hue a little, so that no two pictures share their colours quite. */
static struct lab
turn(struct lab c, float angle)
{
	float s = sinf(angle), k = cosf(angle);

	return (struct lab){ c.l, k * c.a - s * c.b, s * c.a + k * c.b };
}

static float
spline(const float p[4], float t)
{
	float a = 0.5f * (p[2] - p[0]), b = p[0] - 2.5f * p[1] + 2 * p[2] - 0.5f * p[3];
	float c = 1.5f * (p[1] - p[2]) + 0.5f * (p[3] - p[0]);

	return p[1] + t * (a + t * (b + t * c));
}

static void
ramp_make(struct ramp *r, const uint32_t colours[STOPS + 1], float angle)
{
	struct lab stop[STOPS + 2];

	for (int i = 0; i < STOPS; i++)
		stop[i + 1] = turn(lab_of(colours[i]), angle);
	stop[0] = stop[1];
	stop[STOPS + 1] = stop[STOPS];
	for (int i = 0; i < RAMP_STEPS; i++) {
		float t = (float)i * (STOPS - 1) / (RAMP_STEPS - 1);
		int k = t < STOPS - 1 ? (int)t : STOPS - 2;
		float l[4], a[4], b[4];

		for (int j = 0; j < 4; j++) {
			l[j] = stop[k + j].l;
			a[j] = stop[k + j].a;
			b[j] = stop[k + j].b;
		}
		t -= (float)k;
		r->step[i] = rgb_of((struct lab){ spline(l, t), spline(a, t), spline(b, t) });
	}
	r->accent = rgb_of(turn(lab_of(colours[STOPS]), angle));
}

enum scene_kind
colour_choose(const char *prompt, struct rng *rng, struct ramp *ramp)
{
	const struct hint *hint = find_hint(prompt);
	unsigned pick = rng_below(rng, 3) == 2; /* the first suggestion twice as often */
	unsigned palette = rng_below(rng, PALETTE__MAX), form = rng_below(rng, SCENE__MAX);
	float angle = rng_range(rng, -0.22f, 0.22f);

	if (hint) {
		palette = hint->palette[pick];
		if (hint->form[pick] != ANY && rng_below(rng, 6) > 0)
			form = hint->form[rng_below(rng, 3) == 2];
	}
	ramp_make(ramp, palettes[palette], angle);
	return (enum scene_kind)form;
}
