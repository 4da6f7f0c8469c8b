/* clock.c - wall time and Label Studio's time stamps. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

int64_t clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_s(void)
{
	return clock_us() / 1000000;
}

double clock_monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar: years are counted
 * from March, so that the leap day comes last. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t m = month <= 2 ? month + 9 : month - 3;

	return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/* n digits at *at; moves on.  -1 when there are none. */
static int digits(struct span s, size_t *at, size_t n, int64_t *v)
{
	*v = 0;
	if (s.len < n || *at > s.len - n)
		return -1;
	for (size_t i = 0; i < n; i++) {
		char c = s.p[*at + i];

		if (c < '0' || c > '9')
			return -1;
		*v = *v * 10 + (c - '0');
	}
	*at += n;
	return 0;
}

static int literal(struct span s, size_t *at, char c)
{
	if (*at >= s.len || s.p[*at] != c)
		return -1;
	(*at)++;
	return 0;
}

static int zone_of(struct span s, size_t *at, int64_t *offset_s)
{
	int64_t h, m;
	char    sign;

	*offset_s = 0;
	if (*at == s.len)
		return 0;
	sign = s.p[(*at)++];
	if (sign == 'Z')
		return 0;
	if ((sign != '+' && sign != '-') || digits(s, at, 2, &h) < 0)
		return -1;
	(void)literal(s, at, ':');
	if (digits(s, at, 2, &m) < 0 || h > 23 || m > 59)
		return -1;
	*offset_s = (sign == '-' ? -1 : 1) * (h * 3600 + m * 60);
	return 0;
}

int clock_parse_iso(struct span s, int64_t *us)
{
	int64_t year, month, day, h, m, sec, offset_s, fraction_us = 0;
	size_t  at = 0;

	if (digits(s, &at, 4, &year) < 0 || literal(s, &at, '-') < 0 ||
	    digits(s, &at, 2, &month) < 0 || literal(s, &at, '-') < 0 ||
	    digits(s, &at, 2, &day) < 0 ||
	    (literal(s, &at, 'T') < 0 && literal(s, &at, ' ') < 0) ||
	    digits(s, &at, 2, &h) < 0 || literal(s, &at, ':') < 0 ||
	    digits(s, &at, 2, &m) < 0 || literal(s, &at, ':') < 0 ||
	    digits(s, &at, 2, &sec) < 0)
		return -1;
	if (year < 1 || month < 1 || month > 12 || day < 1 || h > 23 || m > 59 || sec > 60)
		return -1;
	/* The first of the next month is no further than the month is long. */
	if (days_of(year, month, day) >= (month == 12 ? days_of(year + 1, 1, 1) : days_of(year, month + 1, 1)))
		return -1;
	if (at < s.len && s.p[at] == '.') {
		int64_t unit = 100000;

		if (++at == s.len || s.p[at] < '0' || s.p[at] > '9')
			return -1;
		for (; at < s.len && s.p[at] >= '0' && s.p[at] <= '9'; at++, unit /= 10)
			fraction_us += (s.p[at] - '0') * unit;
	}
	if (zone_of(s, &at, &offset_s) < 0 || at != s.len)
		return -1;
	*us = (days_of(year, month, day) * 86400 + h * 3600 + m * 60 + sec - offset_s) * 1000000 +
	      fraction_us;
	return 0;
}

const char *clock_iso(int64_t unix_s, char out[CLOCK_ISO_BYTES])
{
	time_t    t = (time_t)unix_s;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL || strftime(out, CLOCK_ISO_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		out[0] = '\0';
	return out;
}
