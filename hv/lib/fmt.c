/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/lib/fmt.h"

struct out {
	char *buf;
	size_t size; /* room for characters, NUL excluded */
	size_t used;
};

struct spec {
	bool left, zero;
	int width, precision; /* precision -1: none given */
	unsigned longs;       /* 0 int, 1 long, 2 long long; long and size_t are 64 bits wide */
};

static void put(struct out *o, char c)
{
	if (o->used < o->size)
		o->buf[o->used++] = c;
}

static void put_padded(struct out *o, const char *text, int len, const struct spec *s)
{
	int pad = s->width > len ? s->width - len : 0;

	for (; !s->left && pad > 0; pad--)
		put(o, ' ');
	for (int i = 0; i < len; i++)
		put(o, text[i]);
	for (; pad > 0; pad--)
		put(o, ' ');
}

static void put_number(struct out *o, uint64_t v, unsigned base, bool negative, const char *digits,
	const struct spec *s)
{
	char text[72];
	int at = sizeof(text), least = s->zero && !s->left ? s->width - negative : 1;

	if (least > 64)
		least = 64;
	do {
		text[--at] = digits[v % base];
		v /= base;
	} while (v);
	while ((int)sizeof(text) - at < least)
		text[--at] = '0';
	if (negative)
		text[--at] = '-';
	put_padded(o, &text[at], (int)sizeof(text) - at, s);
}

static const char *parse_spec(const char *f, struct spec *s, va_list *args)
{
	for (;; f++) {
		if (*f == '-')
			s->left = true;
		else if (*f == '0')
			s->zero = true;
		else
			break;
	}
	if (*f == '*') {
		s->width = va_arg(*args, int);
		f++;
	}
	for (; *f >= '0' && *f <= '9'; f++)
		s->width = s->width < 1000 ? s->width * 10 + (*f - '0') : s->width;
	if (*f == '.') {
		s->precision = 0;
		f++;
		if (*f == '*') {
			s->precision = va_arg(*args, int);
			f++;
		}
		for (; *f >= '0' && *f <= '9'; f++)
			s->precision = s->precision < 100000 ? s->precision * 10 + (*f - '0') : 0;
	}
	for (;; f++) {
		if (*f == 'l')
			s->longs++;
		else if (*f == 'z')
			s->longs = 1;
		else if (*f != 'h')
			break;
	}
	return f;
}

static void put_string(struct out *o, const char *text, const struct spec *s)
{
	int len = 0;

	if (!text)
		text = "(null)";
	while ((s->precision < 0 || len < s->precision) && text[len])
		len++;
	put_padded(o, text, len, s);
}

static void convert(struct out *o, char conversion, const struct spec *s, va_list *args)
{
	static const char lower[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
	int64_t number;
	char c;

	switch (conversion) {
	case 'd':
	case 'i':
		number = s->longs ? va_arg(*args, long) : va_arg(*args, int);
		put_number(o, number < 0 ? 0 - (uint64_t)number : (uint64_t)number, 10, number < 0,
			lower, s);
		break;
	case 'u':
	case 'x':
	case 'X':
		put_number(o, s->longs ? va_arg(*args, unsigned long) : va_arg(*args, unsigned),
			conversion == 'u' ? 10 : 16, false, conversion == 'X' ? upper : lower, s);
		break;
	case 'p':
		put(o, '0');
		put(o, 'x');
		put_number(o, (uintptr_t)va_arg(*args, void *), 16, false, lower, s);
		break;
	case 'c':
		c = (char)va_arg(*args, int);
		put_padded(o, &c, 1, s);
		break;
	case 's': put_string(o, va_arg(*args, const char *), s); break;
	case '%': put(o, '%'); break;
	default:
		put(o, '%');
		put(o, conversion);
		break;
	}
}

size_t fmt_vstring(char *buf, size_t size, const char *format, va_list args)
{
	struct out o = {.buf = buf, .size = size ? size - 1 : 0};
	va_list ap;

	va_copy(ap, args);
	for (const char *f = format; *f; f++) {
		struct spec s = {.precision = -1};

		if (*f != '%') {
			put(&o, *f);
			continue;
		}
		f = parse_spec(f + 1, &s, &ap);
		if (!*f)
			break;
		convert(&o, *f, &s, &ap);
	}
	va_end(ap);
	if (size)
		buf[o.used] = '\0';
	return o.used;
}

size_t fmt_string(char *buf, size_t size, const char *format, ...)
{
	va_list args;
	size_t n;

	va_start(args, format);
	n = fmt_vstring(buf, size, format, args);
	va_end(args);
	return n;
}
