#include "config/toml.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

/* Errors come as values; the formatters would only add code to every program. */
#define TOML_HEADER_ONLY                1
#define TOML_EXCEPTIONS                 0
#define TOML_ENABLE_FORMATTERS          0
#define TOML_ENABLE_UNRELEASED_FEATURES 0
/* Its assertions take some mistakes of a file ("[[[") for its own, and would end the process before the
 * parser comes to the line that reports them. */
#define TOML_ASSERT(expr) static_assert(true)
#include <toml++/toml.h>

namespace
{

class flattener
{
      public:
	flattener(void *(*alloc)(void *, size_t), void *arg) : alloc_(alloc), arg_(arg)
	{
	}

	void table(toml::table &t, const char *const *prefix, size_t nprefix)
	{
		for (auto &&[key, value] : t) {
			toml_entry e = {};
			auto path = take<const char *>(nprefix + 1);

			std::copy(prefix, prefix + nprefix, path);
			path[nprefix] = text(key.str());
			e.path = path;
			e.npath = nprefix + 1;
			e.text = "";
			e.line = key.source().begin.line;
			e.column = key.source().begin.column;
			fill(e, value);
			entries_.push_back(e);
			if (auto inner = value.as_table())
				table(*inner, path, nprefix + 1);
		}
	}

	void finish(toml_doc *out)
	{
		/* toml++ keeps tables sorted by name; people mean the order of the file. */
		std::stable_sort(entries_.begin(), entries_.end(),
				 [](const toml_entry &a, const toml_entry &b) {
					 return a.line != b.line ? a.line < b.line
								 : a.column < b.column;
				 });
		out->n = entries_.size();
		out->v = take<toml_entry>(out->n);
		std::copy(entries_.begin(), entries_.end(), out->v);
	}

      private:
	template <class T> T *take(size_t n)
	{
		return static_cast<T *>(alloc_(arg_, n * sizeof(T)));
	}

	const char *text(std::string_view s)
	{
		char *p = take<char>(s.size() + 1);

		memcpy(p, s.data(), s.size());
		p[s.size()] = '\0';
		return p;
	}

	/* It may be a secret: the parser's copy goes as soon as ours exists. */
	const char *text_and_wipe(std::string &s)
	{
		const char *p = text(s);

		explicit_bzero(s.data(), s.size());
		return p;
	}

	template <class T> const char *number(T v)
	{
		char digits[64];
		/* Not printf: a locale must not turn 0.5 into 0,5. */
		auto end = std::to_chars(digits, digits + sizeof(digits), v).ptr;

		return text({ digits, static_cast<size_t>(end - digits) });
	}

	void fill(toml_entry &e, toml::node &n)
	{
		auto set = [&e](toml_type type, const char *kind) {
			e.type = type;
			e.kind = kind;
		};

		if (auto s = n.as_string()) {
			if (s->get().find('\0') != std::string::npos)
				return set(TOML_OTHER, "a string with U+0000");
			set(TOML_STRING, "a string");
			e.text = text_and_wipe(s->get());
		} else if (auto i = n.as_integer()) {
			set(TOML_INTEGER, "an integer");
			e.text = number(i->get());
		} else if (auto f = n.as_floating_point()) {
			set(TOML_FLOAT, "a decimal number");
			e.text = number(f->get());
		} else if (auto b = n.as_boolean()) {
			set(TOML_BOOL, "a boolean");
			e.text = b->get() ? "true" : "false";
		} else if (n.is_table()) {
			set(TOML_TABLE, "a table");
		} else if (auto a = n.as_array()) {
			array(e, *a);
		} else {
			set(TOML_OTHER, "a date or time");
		}
	}

	void array(toml_entry &e, toml::array &a)
	{
		auto items = take<const char *>(a.size());

		e.type = TOML_STRINGS;
		e.kind = "an array";
		e.items = items;
		for (auto &&item : a) {
			auto s = item.as_string();

			if (!s || s->get().find('\0') != std::string::npos) {
				e.type = TOML_OTHER;
				e.kind = item.is_table() ? "an array of tables"
							 : "an array that holds more than strings";
				return;
			}
			items[e.nitems++] = text_and_wipe(s->get());
		}
	}

	void *(*alloc_)(void *, size_t);
	void *arg_;
	std::vector<toml_entry> entries_;
};

/*
 * toml++ quotes a number that is too large for it.  It may be a secret without its quotes: the digits
 * are left out.
 */
std::string
without_numbers(std::string_view said)
{
	std::string out;

	for (size_t i = 0; i < said.size(); i++) {
		out += said[i];
		if (said[i] != '\'' || i + 2 >= said.size() || !isdigit(said[i + 1]))
			continue;
		size_t end = said.find('\'', i + 1);

		if (end == std::string_view::npos)
			end = said.size();
		out += "…";
		i = end - 1;
	}
	return out;
}

} // namespace

int
toml_read(const char *text, size_t n, void *(*alloc)(void *arg, size_t bytes), void *arg,
	  struct toml_doc *out, struct toml_error *error)
{
	*error = {};
	try {
		toml::parse_result r = toml::parse(std::string_view(text, n));

		if (!r) {
			auto said = without_numbers(r.error().description());

			error->line = r.error().source().begin.line;
			error->column = r.error().source().begin.column;
			(void)snprintf(error->message, sizeof(error->message), "%s", said.c_str());
			return -1;
		}
		flattener f(alloc, arg);

		f.table(r.table(), nullptr, 0);
		f.finish(out);
		return 0;
	} catch (const std::exception &x) {
		(void)snprintf(error->message, sizeof(error->message), "%s", x.what());
	} catch (...) {
		(void)snprintf(error->message, sizeof(error->message), "the parser failed");
	}
	return -1;
}
