/* model.c - a model of the kind exec that needs no other file: linked statically, for a
 * root in which there is nothing else.  It always says the last label. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
	char  *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, stdin) > 0) {
		puts(strstr(line, "\"fit\"") != NULL ? "{\"learned\": true}" :
		     "{\"predictions\": [{\"result\": [{\"value\": {\"choices\": [\"negative\"]}}], \"score\": 0.25}]}");
		fflush(stdout);
	}
	free(line);
	return 0;
}
