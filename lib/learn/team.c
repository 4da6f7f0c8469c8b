/* team.c - a loop over chunks, shared by threads. */
#include "learn/team.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

struct team {
	pthread_t       threads[TEAM_THREADS_MAX];
	int             n_threads;               /* beside the caller */
	pthread_mutex_t mutex;
	pthread_cond_t  begin, end;
	unsigned long   round;                   /* grows with each loop */
	int             busy;                    /* threads still in it */
	bool            closing;

	void          (*work)(void *arg, size_t chunk);
	void           *arg;
	size_t          n_chunks;
	atomic_size_t   next;
};

static void take_chunks(struct team *t)
{
	size_t chunk;

	while ((chunk = atomic_fetch_add(&t->next, 1)) < t->n_chunks)
		t->work(t->arg, chunk);
}

static void *thread_main(void *arg)
{
	struct team  *t = arg;
	unsigned long seen = 0;

	pthread_mutex_lock(&t->mutex);
	for (;;) {
		while (t->round == seen && !t->closing)
			pthread_cond_wait(&t->begin, &t->mutex);
		if (t->closing)
			break;
		seen = t->round;
		pthread_mutex_unlock(&t->mutex);
		take_chunks(t);
		pthread_mutex_lock(&t->mutex);
		if (--t->busy == 0)
			pthread_cond_signal(&t->end);
	}
	pthread_mutex_unlock(&t->mutex);
	return NULL;
}

struct team *team_open(int threads)
{
	struct team *t = calloc(1, sizeof *t);
	sigset_t     all, before;

	if (t == NULL)
		return NULL;
	pthread_mutex_init(&t->mutex, NULL);
	pthread_cond_init(&t->begin, NULL);
	pthread_cond_init(&t->end, NULL);
	/* Signals are for the thread that asks whether to stop. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (t->n_threads + 1 < threads && t->n_threads < TEAM_THREADS_MAX - 1 &&
	       pthread_create(&t->threads[t->n_threads], NULL, thread_main, t) == 0)
		t->n_threads++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return t;
}

void team_close(struct team *t)
{
	if (t == NULL)
		return;
	pthread_mutex_lock(&t->mutex);
	t->closing = true;
	pthread_cond_broadcast(&t->begin);
	pthread_mutex_unlock(&t->mutex);
	for (int i = 0; i < t->n_threads; i++)
		pthread_join(t->threads[i], NULL);
	pthread_cond_destroy(&t->begin);
	pthread_cond_destroy(&t->end);
	pthread_mutex_destroy(&t->mutex);
	free(t);
}

void team_run(struct team *t, void (*work)(void *arg, size_t chunk), void *arg, size_t n_chunks)
{
	if (t->n_threads == 0 || n_chunks <= 1) {
		for (size_t i = 0; i < n_chunks; i++)
			work(arg, i);
		return;
	}
	pthread_mutex_lock(&t->mutex);
	t->work = work;
	t->arg = arg;
	t->n_chunks = n_chunks;
	atomic_store(&t->next, 0);
	t->busy = t->n_threads;
	t->round++;
	pthread_cond_broadcast(&t->begin);
	pthread_mutex_unlock(&t->mutex);
	take_chunks(t);
	pthread_mutex_lock(&t->mutex);
	while (t->busy > 0)
		pthread_cond_wait(&t->end, &t->mutex);
	pthread_mutex_unlock(&t->mutex);
}
