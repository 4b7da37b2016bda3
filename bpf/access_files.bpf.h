/* SPDX-License-Identifier: GPL-2.0 */
/* Files and folders: the places where AppArmor decides about them (security/apparmor/lsm.c). */
#ifndef ACCESS_FILES_BPF_H
#define ACCESS_FILES_BPF_H

/* include/uapi/asm-generic/fcntl.h, include/uapi/linux/stat.h, include/uapi/linux/fs.h */
#define O_CREAT 0100
#define O_TRUNC 01000
#define O_APPEND 02000
#define PROT_READ 0x1
#define PROT_WRITE 0x2
#define PROT_EXEC 0x4
#define MAP_SHARED_BIT 0x1
#define VM_SHARED 0x8
#define F_WRLCK 1
#define TYPE_FOLDER 4
#define TYPE_REGULAR 8
#define TYPE_SYMLINK 10
#define RENAME_EXCHANGE 2

static __always_inline int use_entry(const void *mount, const void *entry, __u32 rights)
{
	__u32 which = begin(ACCESS_FILE);
	struct scratch *s = which ? scratch_at(which - 1) : NULL;

	if (!s)
		return 0;
	if (!take_entry(s, (void *)mount, (void *)entry))
		rights = 0;
	return end(which - 1, rights);
}

static __always_inline int use_path(const struct path___seen *path, __u32 rights)
{
	return use_entry(path->mnt, path->dentry, rights);
}

static __always_inline int use_file(struct file___seen *file, __u32 rights)
{
	if (!file)
		return 0;
	/* The layer's file has the name of the overlay's. Where it has its own, take_entry() tells. */
	if (bpf_core_field_exists(struct backing_file___seen, real_path) &&
	    file->f_mode & FMODE_BACKING)
		return 0;
	return use_entry(file->f_path.mnt, file->f_path.dentry, rights);
}

/* A name that is being made: it has no inode yet. */
static __always_inline int make_entry(const struct path___seen *folder, const void *entry, __u32 type)
{
	__u32 which = begin(ACCESS_FILE);
	struct scratch *s = which ? scratch_at(which - 1) : NULL;
	__u32 rights = FILE_CREATE;

	if (!s)
		return 0;
	if (!take_entry(s, folder->mnt, (void *)entry))
		rights = 0;
	s->access.what.object = type;
	s->access.what.flags &= ~ACCESS_DELETED;
	return end(which - 1, rights);
}

static __always_inline int use_two(const void *mount, const void *entry, const void *other_mount,
				   const void *other, const void *typed, __u32 rights)
{
	__u32 which = begin(ACCESS_FILE);
	struct scratch *s = which ? scratch_at(which - 1) : NULL;

	if (!s)
		return 0;
	if (!take_entry(s, (void *)mount, (void *)entry))
		rights = 0;
	s->beginning[TEXT_TARGET].entry = (void *)other;
	s->beginning[TEXT_TARGET].mount = (void *)other_mount;
	s->access.what.object = ((struct dentry___seen *)typed)->d_inode->i_mode >> 12;
	s->access.what.flags &= ~ACCESS_DELETED;
	return end(which - 1, rights);
}

/* As aa_map_file_to_perms(). */
static __always_inline __u32 rights_of(struct file___seen *file)
{
	__u32 mode = file->f_mode, flags = file->f_flags;
	__u32 rights = 0;

	if (mode & FMODE_READ)
		rights |= FILE_READ;
	if (mode & FMODE_WRITE)
		rights |= flags & O_APPEND ? FILE_APPEND : FILE_WRITE;
	if (flags & O_TRUNC)
		rights |= FILE_WRITE | FILE_TRUNCATE;
	if (flags & O_CREAT)
		rights |= FILE_CREATE;
	return rights;
}

HOOK("fentry/security_file_open", on_file_open, struct file___seen *file)
{
	/* What an exec opens it is asked about by others: on_exec_begin, on_mmap. */
	if (file->f_flags & FMODE_EXEC_FLAG)
		return 0;
	return use_file(file, rights_of(file));
}

/* One that came by a message. */
HOOK("fentry/security_file_receive", on_file_receive, struct file___seen *file)
{
	return use_file(file, rights_of(file) & ~(FILE_CREATE | FILE_TRUNCATE));
}

/* What is in no file system is asked about by the name that it was called by, such as /dev/fd/3. */
static __always_inline int execute_by_name(const char *name)
{
	__u32 which = begin(ACCESS_FILE);
	struct scratch *s = which ? scratch_at(which - 1) : NULL;
	long length;

	if (!s)
		return 0;
	length = bpf_probe_read_kernel_str(s->text[TEXT_PATH], TEXT_MOST - 1, name);
	s->access.length[TEXT_PATH] = length > 0 ? length - 1 : 0;
	return end(which - 1, FILE_EXEC);
}

HOOK("fentry/security_bprm_creds_for_exec", on_exec_begin, struct linux_binprm___seen *binprm)
{
	struct file___seen *file;
	__u32 index = my_slot();

	if (!index)
		return 0;
	begin_execution(index);
	file = binprm->file;
	if (file->f_path.dentry->d_sb->s_flags & SB_NOUSER)
		execute_by_name(binprm->filename);
	return use_file(file, FILE_EXEC);
}

HOOK("tp_btf/sched_process_exec", on_exec_end, struct task_struct *task, int old_pid, struct linux_binprm *binprm)
{
	__u32 index = my_slot();
	__u32 which = index ? begin_for(ACCESS_FILE, index) : 0;

	if (!index)
		return 0;
	end_execution(index, which);
	return which ? end(which - 1, 0) : 0;
}

static __always_inline __u32 mapping_rights(unsigned long protection, bool shared)
{
	__u32 rights = 0;

	if (protection & PROT_READ)
		rights |= FILE_READ;
	/* What is written to a private mapping stays in memory. */
	if (protection & PROT_WRITE && shared)
		rights |= FILE_WRITE;
	if (protection & PROT_EXEC)
		rights |= FILE_MMAP_EXEC;
	return rights;
}

HOOK("fentry/security_mmap_file", on_mmap, struct file___seen *file, unsigned long protection, unsigned long flags)
{
	return use_file(file, mapping_rights(protection, flags & MAP_SHARED_BIT));
}

HOOK("fentry/security_file_mprotect", on_mprotect, struct vm_area_struct___seen *area, unsigned long asked,
	     unsigned long protection)
{
	return use_file(area->vm_file,
			mapping_rights(protection, area->vm_flags & VM_SHARED));
}

HOOK("fentry/security_file_lock", on_lock, struct file___seen *file, unsigned int command)
{
	return use_file(file, command == F_WRLCK ? FILE_LOCK | FILE_WRITE : FILE_LOCK);
}

HOOK("fentry/security_file_truncate", on_file_truncate, struct file___seen *file)
{
	return use_file(file, FILE_TRUNCATE | FILE_WRITE);
}

HOOK("fentry/security_path_truncate", on_truncate, const struct path___seen *path)
{
	return use_path(path, FILE_TRUNCATE | FILE_WRITE);
}

HOOK("fentry/security_path_chmod", on_chmod, const struct path___seen *path)
{
	return use_path(path, FILE_CHMOD);
}

HOOK("fentry/security_path_chown", on_chown, const struct path___seen *path)
{
	return use_path(path, FILE_CHOWN);
}

HOOK("fentry/security_path_unlink", on_unlink, const struct path___seen *folder, struct dentry___seen *entry)
{
	return use_entry(folder->mnt, entry, FILE_REMOVE);
}

HOOK("fentry/security_path_rmdir", on_rmdir, const struct path___seen *folder, struct dentry___seen *entry)
{
	return use_entry(folder->mnt, entry, FILE_REMOVE);
}

HOOK("fentry/security_path_mkdir", on_mkdir, const struct path___seen *folder, struct dentry___seen *entry)
{
	return make_entry(folder, entry, TYPE_FOLDER);
}

HOOK("fentry/security_path_mknod", on_mknod, const struct path___seen *folder, struct dentry___seen *entry, unsigned short mode)
{
	return make_entry(folder, entry, mode >> 12 ? mode >> 12 : TYPE_REGULAR);
}

HOOK("fentry/security_path_symlink", on_symlink, const struct path___seen *folder, struct dentry___seen *entry)
{
	return make_entry(folder, entry, TYPE_SYMLINK);
}

/* AppArmor takes the old name's mount for the new one's: a link does not leave its mount. */
HOOK("fentry/security_path_link", on_link, struct dentry___seen *old, const struct path___seen *folder, struct dentry___seen *entry)
{
	struct vfsmount___seen *mount = folder->mnt;

	return use_two(mount, entry, mount, old, old, FILE_LINK);
}

HOOK("fentry/security_path_rename", on_rename, const struct path___seen *folder, struct dentry___seen *old,
	     const struct path___seen *new_folder, struct dentry___seen *entry, unsigned int flags)
{
	struct vfsmount___seen *mount = folder->mnt;
	struct vfsmount___seen *new_mount = new_folder->mnt;

	use_two(mount, old, new_mount, entry, old, FILE_RENAME);
	make_entry(new_folder, entry, old->d_inode->i_mode >> 12);
	if (flags & RENAME_EXCHANGE) {
		use_two(new_mount, entry, mount, old, entry, FILE_RENAME);
		make_entry(folder, old, entry->d_inode->i_mode >> 12);
	}
	return 0;
}

#endif
