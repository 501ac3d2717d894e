"""The Prefect servers that tokenmill starts: one for a single build, and one for schedules.

Modules, in reading order:

    settings    what Prefect's settings say, or which of them is wrong
    secret      the password of a server, and the file that tells it to its owner
    guard       what stands in front of Prefect's application: Host, Origin, password
    ours        lets deployments run our flow alone
    main        the process of a server
    database    whether Prefect's database can be used, before a server starts on it
    start       starts such a process and ends it
    embedded    a build on a server of its own, and without one if Prefect fails
    scheduler   the server under `tokenmill serve`
    running     runs scheduled builds until it is told to stop

A server that somebody else started (PREFECT_API_URL) is used as it is, and nothing on it is changed.
"""
