/* disk.c - file systems that other machines write to as well. */
#include "base/disk.h"

#include "base/span.h"

#include <sys/vfs.h>

/* By their number in statfs(2).  9P is also what gVisor and virtual machines show of a
 * local folder. */
static const struct { unsigned long magic; const char *name; bool never; } network[] = {
	{ 0x6969, "NFS", true }, { 0x517b, "SMB", true }, { 0xff534d42, "CIFS", true }, { 0xfe534d42, "SMB 2", true },
	{ 0x564c, "NCP", true }, { 0x5346414f, "AFS", true }, { 0x6b414653, "AFS", true }, { 0x73757245, "Coda", true },
	{ 0x00c36400, "Ceph", true }, { 0x0bd00bd0, "Lustre", true }, { 0x47504653, "GPFS", true },
	{ 0x7461636f, "OCFS2", true }, { 0x01161970, "GFS2", true }, { 0x01021997, "9P", false },
	{ 0x786f4256, "a shared folder of VirtualBox", false },
};

const char *disk_network(const char *path, bool *never)
{
	struct statfs fs;

	*never = false;
	if (statfs(path, &fs) < 0)
		return NULL;
	for (size_t i = 0; i < countof(network); i++)
		if (((unsigned long)fs.f_type & 0xffffffffUL) == network[i].magic) {
			*never = network[i].never;
			return network[i].name;
		}
	return NULL;
}
