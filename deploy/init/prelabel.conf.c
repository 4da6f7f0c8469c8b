# Settings of this backend, NAME=value; see prelabel.conf(5).  The environment comes first.
#PORT=9090
#LABEL_STUDIO_URL=http://localhost:8080
#START_TRAINING_EACH_N_UPDATES=10
