"""The processes of one training: `--hosts` and `--process-id`, or Keras's environment variables."""

_OPTIONS = "--hosts", "--process-id"


def add_hosts_arguments(parser):
    """Adds the options that name the hosts."""
    group = parser.add_argument_group(
        "several hosts", "the same command on each, on JAX; see docs/scale.md"
    )
    group.add_argument(
        "--hosts",
        metavar="ADDR:PORT,...",
        help="one address for each process, the first one's with a free port; default "
        "KERAS_DISTRIBUTION_JOB_ADDRESSES",
    )
    group.add_argument(
        "--process-id",
        type=int,
        metavar="N",
        help="which of them this one is, from 0 on; default KERAS_DISTRIBUTION_PROCESS_ID",
    )


def join_hosts(arguments):
    """Joins the hosts that the arguments or the environment name.

    Returns:
        `mrcnn.parallel.Hosts`, or `OneHost` where none are named.

    Raises:
        ValueError: one of the two options without the other.
        ConnectionError: they cannot be reached.
    """
    given = arguments.hosts, arguments.process_id
    if given.count(None) == 1:
        raise ValueError(
            "expected --hosts and --process-id together: the addresses of all processes, the same "
            "for each, and which of them this one is"
        )
    from mrcnn.parallel import hosts

    if arguments.hosts is not None:
        return hosts.join(arguments.hosts.split(","), arguments.process_id)
    return hosts.join() if hosts.are_named() else hosts.joined()


def fit_to_devices(config, arguments, hosts):
    """Sets `GPU_COUNT` to the devices that there are: of several hosts all of them; of one, where a
    training goes on or begins with the config of its weights, not more. The batch is --batch-size;
    that of a training that goes on stays what it was.

    Args:
        config: `Config`.
        arguments: of the command.
        hosts: of `join_hosts`.

    Raises:
        ValueError: `GPU_COUNT` was given as another number, or does not divide --batch-size.
    """
    from mrcnn.cli.training_config import images_of_each_device
    from mrcnn.parallel import available

    batch = arguments.batch_size or config.BATCH_SIZE
    given = any(text.startswith("GPU_COUNT=") for text in arguments.assignments)
    if hosts.count > 1 and (arguments.resume or not given):
        config.GPU_COUNT = hosts.devices
    elif arguments.resume or not (given or arguments.config):
        config.GPU_COUNT = available(config.GPU_COUNT)
    if arguments.resume and (arguments.batch_size or config.IMAGES_PER_GPU != -1):
        config.BATCH_SIZE = batch
    elif arguments.batch_size is not None:
        config.IMAGES_PER_GPU = images_of_each_device(arguments.batch_size, config.GPU_COUNT)


def without_hosts(words):
    """A command line, list of str, without the options that name the hosts."""
    kept, skipped = [], False
    for word in words:
        if skipped:
            skipped = False
        elif word in _OPTIONS:
            skipped = True
        elif not word.startswith(tuple(f"{option}=" for option in _OPTIONS)):
            kept.append(word)
    return kept
