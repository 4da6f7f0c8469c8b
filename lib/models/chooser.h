/*
 * chooser.h - a kind of model in two functions, for models that choose one label of
 * <Choices> over <Text> (<HyperText>, <Paragraphs>) by what they noted of each label.
 *
 *	static void learn(struct buf *notes, struct span text) { … }
 *	static double score(struct span notes, struct span text) { … }
 *
 *	const struct model_kind model_mine = {
 *		.abi = MODEL_ABI, .name = "mine", .format = 1, CHOOSER(learn, score)
 *	};
 *
 * learn() is called for each example, in their order, with the notes of its label,
 * which begin empty and are its own: any bytes, appended to or changed in place.
 * score() says how well a text fits what was noted; the probabilities are the
 * softmax of the scores, so that a sum of log likelihoods is one.  It must be
 * finite, and it is called by many threads at once.
 *
 * Where a text may have several labels (choice="multiple") an example is one of each of
 * its labels, and the one that fits best is proposed.
 *
 * Before a training the name of each label stands in for its examples.  Afterwards
 * a label without an example is not chosen.  Notes are kept as they are: numbers in
 * them in the byte order of the machine.  They begin at an address that suits any type.
 */
#ifndef MODELS_CHOOSER_H
#define MODELS_CHOOSER_H

#include "models/model.h"

struct chooser {
	void   (*learn)(struct buf *notes, struct span text);
	double (*score)(struct span notes, struct span text);
};

#define CHOOSER(learn, score) \
	.own = &(const struct chooser){ (learn), (score) }, .serves = chooser_serves, .cold = chooser_cold, \
	.fit = chooser_fit, .predict = chooser_predict, .save = chooser_save, .load = chooser_load, \
	.free = chooser_free, .bytes = chooser_bytes

const struct control_tag *chooser_serves(const struct label_config *config, struct span context,
                                         const struct model_settings *settings);
int    chooser_cold(struct model **m, const struct label_config *config, const struct model_settings *settings,
                    struct err *e);
int    chooser_fit(struct model **m, const struct label_config *config, struct examples examples,
                   const struct model_settings *settings, struct err *e);
int    chooser_predict(const struct model *m, const struct task *task, struct span context, struct arena *scratch,
                       struct prediction *p, struct err *e);
int    chooser_save(const struct model *m, struct model_parts *parts, struct err *e);
int    chooser_load(struct model **m, const struct label_config *config, const struct model_settings *settings,
                    unsigned format, const struct part_source *parts, struct err *e);
void   chooser_free(struct model *m);
size_t chooser_bytes(const struct model *m);

#endif
